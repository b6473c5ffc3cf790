// SPDX-License-Identifier: Apache-2.0
// A plan in words, and what is done by it.
#include "qemu/gdb_repair.hpp"

#include <optional>

#include "host/linux/number.hpp"
#include "host/linux/proc.hpp"
#include "qemu/gdb_session.hpp"
#include "qemu/own_stub.hpp"

namespace microvmi::qemu {
namespace {

constexpr std::size_t kHead = 4;       // words before the first place
constexpr std::size_t kOfMonitor = 3;  // words of each
constexpr std::chrono::milliseconds kEach{2'000};

void add(const Endpoint& endpoint, std::vector<std::string>& words) {
  words.push_back(std::to_string(static_cast<unsigned>(endpoint.kind)));
  words.push_back(endpoint.address);
  words.push_back(std::to_string(endpoint.port));
}

std::optional<Endpoint> endpoint_at(const std::vector<std::string>& words, std::size_t at) {
  const auto kind = host::number_of<unsigned>(words[at]);
  const auto port = host::number_of<std::uint16_t>(words[at + 2]);
  if (!kind || *kind > static_cast<unsigned>(Endpoint::Kind::tcp) || !port) return std::nullopt;
  return Endpoint{static_cast<Endpoint::Kind>(*kind), words[at + 1], *port};
}

Expected<std::string> ask_any(const StubPlan& plan, std::string_view line) {
  Expected<std::string> answer = fail(Errc::not_found, "there is no monitor");
  for (const Monitor& one : plan.monitors)
    if (answer = ask_human(one, line, Wait::at_most(kEach)); answer) return answer;
  return answer;
}

}  // namespace

std::vector<std::string> to_words(const StubPlan& plan) {
  std::vector<std::string> out{std::to_string(plan.stub.pid), std::to_string(plan.start_time),
                               plan.runs ? "runs" : "stands", plan.folder};
  add(plan.stub.endpoint, out);
  for (const Monitor& one : plan.monitors) add(one.endpoint, out);
  return out;
}

Expected<StubPlan> plan_of(const std::vector<std::string>& words) {
  const auto wrong = [] { return fail(Errc::protocol, "the plan for a gdb stub makes no sense"); };
  if (words.size() < kHead + kOfMonitor || (words.size() - kHead) % kOfMonitor != 0) return wrong();
  const auto pid = host::number_of<std::uint32_t>(words[0]);
  const auto start = host::number_of<std::uint64_t>(words[1]);
  if (!pid || !start) return wrong();
  StubPlan out{.start_time = *start, .runs = words[2] == "runs", .folder = words[3]};
  for (std::size_t at = kHead; at < words.size(); at += kOfMonitor) {
    auto endpoint = endpoint_at(words, at);
    if (!endpoint) return wrong();
    if (at == kHead)
      out.stub = {*std::move(endpoint), *pid};
    else
      out.monitors.push_back({*std::move(endpoint), *pid});
  }
  return out;
}

Expected<void> repair(const StubPlan& plan) {
  const OwnStub own{plan.stub, plan.folder};
  const AskHuman ask = [&plan](std::string_view line) { return ask_any(plan, line); };
  const auto process = host::stat_of(plan.stub.pid);
  if (!process || process->state == 'Z' || process->start_time != plan.start_time) {
    if (!plan.folder.empty()) remove_folder(own);
    return fail(Errc::disconnected, "the QEMU process is gone");
  }
  if (!plan.folder.empty()) {
    const auto started = has_stub(own, ask);
    if (!started) return std::unexpected(started.error());
    if (!*started) {
      remove_folder(own);
      return {};
    }
  }
  auto session = GdbSession::attach(plan.stub, kEach);
  if (!session) return std::unexpected(std::move(session.error().error));
  if (plan.runs) {
    if (auto done = session->clear_steps(); !done) return done;
    if (auto done = session->detach(true, {}); !done) return done;
  }
  return plan.folder.empty() ? Expected<void>{} : end_stub(own, ask);
}

}  // namespace microvmi::qemu
