// SPDX-License-Identifier: Apache-2.0
// From connect to answer without ever blocking.
#include "qemu/qmp_link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "host/linux/proc.hpp"
#include "qemu/qmp_peer.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;

// How soon a full queue is tried again; a client like this one leaves within a few of these.
constexpr auto kRetry = 2ms;

// So much at a time, so that one talkative monitor does not keep the others waiting.
constexpr std::size_t kChunk = 64 * 1024;
constexpr int kChunks = 16;

constexpr const char* kOneClient =
    "a monitor serves one client at a time: end that one or give QEMU a second -qmp";

// A process that is gone leaves a socket behind, or no way to it: neither says what happened.
Error gone() { return {Errc::disconnected, "the process is gone"}; }

}  // namespace

QmpLink::QmpLink(Monitor monitor, Care care)
    : monitor_(std::move(monitor)),
      care_(care),
      since_(Clock::now()),
      greet_by_(since_ + kGreetingTime) {}

void QmpLink::close() {
  socket_.reset();
  stage_ = Stage::over;
}

Expected<void> QmpLink::advance() {
  if (stage_ == Stage::over) return fail(Errc::disconnected, "it is closed");
  auto done = socket_ ? talk() : connect();
  if (done) done = check_greeting();
  if (!done) close();
  return done;
}

Expected<void> QmpLink::connect() {
  if (Clock::now() < retry_) return {};
  auto socket = Socket::connect(monitor_.endpoint);
  if (socket) {
    socket_ = *std::move(socket);
    stage_ = Stage::connecting;
    return talk();
  }
  if (socket.error().code != Errc::busy)
    return std::unexpected(is_gone() ? gone() : std::move(socket.error()));
  retry_ = Clock::now() + kRetry;
  return {};
}

Expected<void> QmpLink::talk() {
  if (stage_ == Stage::connecting) {
    const auto established = socket_->established();
    if (!established) return std::unexpected(established.error());
    if (!*established) return {};
    stage_ = Stage::talking;
  }
  const auto input = take_input();
  if (session_.greeted() && !trusted_) {
    if (auto checked = check_peer(socket_->get(), monitor_); !checked) return checked;
    trusted_ = true;
  }
  return input ? write_output() : input;
}

Expected<void> QmpLink::take_input() {
  std::array<char, kChunk> buffer;
  for (int i = 0; i != kChunks; ++i) {
    const auto came = socket_->receive(buffer);
    if (!came) return std::unexpected(came.error());
    if (*came == 0) return {};
    if (auto done = session_.receive(std::string_view(buffer.data(), *came)); !done) return done;
    if (*came < buffer.size()) return {};  // that was all; poll() tells of more
  }
  return {};
}

Expected<void> QmpLink::write_output() {
  output_ += session_.take_output();
  while (!output_.empty()) {
    const auto sent = socket_->send(output_);
    if (!sent) return std::unexpected(sent.error());
    if (*sent == 0) break;
    output_.erase(0, *sent);
  }
  return {};
}

Expected<void> QmpLink::check_greeting() {
  if (session_.greeted() || Clock::now() < greet_by_) return {};
  if (auto why = why_no_greeting(); why) return std::unexpected(*std::move(why));
  const auto waited = greet_by_ - since_;
  if (care_ == Care::look_for_holder && waited < kSlowGreetingTime) {
    greet_by_ = since_ + kSlowGreetingTime;
    return {};
  }
  return fail(Errc::busy,
              fmt::format("no greeting within {} ms, so another client seems to use it",
                          std::chrono::duration_cast<std::chrono::milliseconds>(waited).count()),
              {}, kOneClient);
}

bool QmpLink::is_gone() const {
  const auto process = host::stat_of(monitor_.pid);
  return !process || process->state == 'Z';
}

std::optional<Error> QmpLink::why_no_greeting() const {
  if (is_gone()) return gone();
  const auto process = host::stat_of(monitor_.pid);
  if (process && (process->state == 'T' || process->state == 't'))
    return Error{
        Errc::busy, "no greeting, as the process is stopped", {}, "let it go on with SIGCONT"};
  if (care_ != Care::look_for_holder || !socket_) return std::nullopt;
  const auto holder = holder_of(socket_->get(), monitor_);
  if (!holder) return std::nullopt;
  return Error{Errc::busy,
               fmt::format("process {} ({:?}) uses it", holder->pid, holder->comm),
               {},
               kOneClient};
}

pollfd QmpLink::awaited() const {
  if (!socket_) return {.fd = -1, .events = 0, .revents = 0};
  const bool writes = stage_ == Stage::connecting || !output_.empty();
  return {.fd = socket_->get(),
          .events = static_cast<short>(writes ? POLLIN | POLLOUT : POLLIN),
          .revents = 0};
}

QmpLink::Clock::time_point QmpLink::next_look() const {
  if (stage_ == Stage::unconnected) return std::min(retry_, greet_by_);
  return session_.greeted() ? Clock::time_point::max() : greet_by_;
}

}  // namespace microvmi::qemu
