// SPDX-License-Identifier: Apache-2.0
// Which of QEMU's run states may be left, and the commands that do it. The states are those of
// RunState in QEMU's qapi/run-state.json.
#include "qemu/run_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace microvmi::qemu {
namespace {

// Why a guest in this state can neither be paused for good nor be set going.
struct Reason {
  std::string_view state;
  Errc code;
  const char* why;
};

// QEMU itself leaves these states: what is done now would be undone or break what it does.
constexpr std::array<Reason, 6> kPassing{{
    {"inmigrate", Errc::busy, "it is being migrated here"},
    {"finish-migrate", Errc::busy, "its migration is being finished"},
    {"restore-vm", Errc::busy, "a snapshot is being loaded"},
    {"save-vm", Errc::busy, "a snapshot is being saved"},
    {"colo", Errc::busy, "it is the stand-by of another host's guest"},
    {"suspended", Errc::busy, "it sleeps (S3) and wakes by itself"},
}};

// Nothing runs in these, and running on would harm.
constexpr std::array<Reason, 5> kFinal{{
    {"postmigrate", Errc::not_supported, "it was migrated away and runs elsewhere"},
    {"internal-error", Errc::not_supported, "QEMU met an error that only a reset ends"},
    {"guest-panicked", Errc::not_supported, "the guest crashed"},
    {"shutdown", Errc::not_supported, "the guest was shut down"},
    {"debug", Errc::busy, "a debugger holds it"},
}};

const Reason* find(std::span<const Reason> reasons, std::string_view state) {
  const auto found = std::ranges::find(reasons, state, &Reason::state);
  return found == reasons.end() ? nullptr : &*found;
}

Expected<void> refusal(const char* verb, const Reason* reason) {
  if (!reason) return {};
  return fail(reason->code,
              fmt::format("cannot {} the guest in state {}: {}", verb, reason->state, reason->why));
}

}  // namespace

QmpRunControl::QmpRunControl(Monitor monitor)
    : ask_([monitor = std::move(monitor)](const Command& command) {
        return ask(monitor, command, Wait::at_most(kCommandTime));
      }) {}

Expected<Status> QmpRunControl::status() {
  const auto answer = ask_({.name = "query-status"});
  return answer ? parse_status(*answer) : std::unexpected(answer.error());
}

Expected<bool> QmpRunControl::running() {
  const auto now = status();
  return now ? Expected<bool>(now->running) : std::unexpected(now.error());
}

Expected<void> QmpRunControl::pause() {
  const auto now = status();
  if (!now) return std::unexpected(now.error());
  if (now->running) return command("stop", false);
  return refusal("pause", find(kPassing, now->name));
}

Expected<void> QmpRunControl::resume() {
  const auto now = status();
  if (!now) return std::unexpected(now.error());
  if (now->running) return {};
  if (auto allowed = refusal("resume", find(kPassing, now->name)); !allowed) return allowed;
  if (auto allowed = refusal("resume", find(kFinal, now->name)); !allowed) return allowed;
  return command("cont", true);
}

Expected<void> QmpRunControl::command(const char* name, bool running) {
  if (const auto done = ask_({.name = name}); !done) return std::unexpected(done.error());
  const auto now = status();
  if (!now) return std::unexpected(now.error());
  if (now->running == running) return {};
  return fail(Errc::io,
              fmt::format("qemu took \"{}\" but the guest is in state {:?}", name, now->name));
}

}  // namespace microvmi::qemu
