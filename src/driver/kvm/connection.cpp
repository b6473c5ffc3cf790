// SPDX-License-Identifier: Apache-2.0
// Sending requests and waiting for their answers.
#include "driver/kvm/connection.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "driver/kvm/waiter.hpp"

namespace microvmi::kvm {
namespace {

// Answers that nobody waits for any more; a kernel that owes more is not worth asking.
constexpr std::size_t kMostAbandoned = 4096;

Error no_answer(const Request& request, Errc over) {
  const std::string what = fmt::format("KVMi {}", name_of(request.command));
  if (over == Errc::cancelled) return {over, what + " was cancelled"};
  return {Errc::timed_out,
          what + ": no answer",
          {},
          is_for_vcpu(request.command)
              ? "QEMU may have stopped the guest (stop, virsh suspend), and then no vcpu answers"
              : ""};
}

}  // namespace

bool is_for_vcpu(Command command) {
  // A pause is noted by the thread that takes the commands.
  return command != Command::pause_vcpu &&
         row(Dialect::v7, command).request.find(Field::vcpu) != nullptr;
}

Expected<std::unique_ptr<Connection>> Connection::start(host::Descriptor socket,
                                                        Listener listener) {
  auto wakeup = native::Wakeup::make();
  if (!wakeup) return std::unexpected(std::move(wakeup.error()));
  return std::unique_ptr<Connection>(
      new Connection(std::move(socket), *std::move(wakeup), std::move(listener)));
}

Connection::Connection(host::Descriptor socket, native::Wakeup wakeup, Listener listener)
    : socket_(std::move(socket)), wakeup_(std::move(wakeup)), listener_(std::move(listener)) {
  reader_ = std::thread([this] { read_all(); });
}

Connection::~Connection() {
  closing_ = true;
  wakeup_.signal();
  reader_.join();
}

std::optional<Error> Connection::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

std::uint32_t Connection::add(Bytes& out, const Request& request, Pending pending) {
  while (pending_.contains(next_seq_)) ++next_seq_;
  const std::uint32_t seq = next_seq_++;
  const std::size_t start = out.size();
  append(out, dialect_, request.command, seq, std::span(request.values).first(request.count),
         request.tail);
  pending.id = parse_header(std::span(out).subspan(start)).id;
  pending_.emplace(seq, pending);
  return seq;
}

void Connection::send_more(Waiter& waiter) {
  const std::size_t room = window_ - std::min(window_.load(), waiter.in_flight());
  const std::size_t count = std::min(room, waiter.requests.size() - waiter.sent);
  for (Request& request : waiter.requests.subspan(waiter.sent, count))
    add(unsent_, request, {.request = &request, .waiter = &waiter});
  waiter.sent += count;
  // Woken when half of them came back, so that there is always something on its way.
  const bool all_sent = waiter.sent == waiter.requests.size();
  waiter.wake_at = all_sent ? waiter.sent : waiter.answered + (waiter.in_flight() + 1) / 2;
  flush();
}

void Connection::flush() {
  std::size_t done = 0;
  while (done < unsent_.size() && !deaf_) {
    const auto sent = native::send(socket_.get(), std::span(unsent_).subspan(done));
    // The reading thread ends the connection, when it has taken what came before.
    deaf_ = !sent;
    if (!sent || *sent == 0) break;
    done += *sent;
  }
  unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(done));
  if (deaf_) unsent_.clear();
  if (deaf_ || !unsent_.empty()) wakeup_.signal();
  if (unsent_.empty()) drained_.notify_all();
}

void Connection::drain(const Wait& wait) {
  std::unique_lock lock(mutex_);
  drained_.wait_until(lock, wait.stop, wait.deadline, [this] { return end_ || unsent_.empty(); });
}

void Connection::abandon(Waiter& waiter) {
  for (auto& [seq, pending] : pending_) {
    if (pending.waiter != &waiter) continue;
    pending.request = nullptr;
    pending.waiter = nullptr;
    ++abandoned_;
  }
}

Expected<void> Connection::run(std::span<Request> requests, const Wait& wait) {
  for (const Request& request : requests)
    if (!row(dialect_, request.command).known)
      return fail(Errc::not_supported,
                  fmt::format("KVMi {} has no {}", name_of(dialect_), name_of(request.command)));
  Waiter waiter{.requests = requests};
  std::unique_lock lock(mutex_);
  if (abandoned_ >= kMostAbandoned)
    return fail(Errc::busy, fmt::format("KVMi: {} commands are not answered yet", abandoned_));
  while (waiter.answered < requests.size()) {
    if (end_) {
      abandon(waiter);
      return std::unexpected(*end_);
    }
    if (waiter.sent < requests.size()) send_more(waiter);
    const bool woken = waiter.changed.wait_until(
        lock, wait.stop, wait.deadline, [&] { return end_ || waiter.answered >= waiter.wake_at; });
    if (woken) continue;
    abandon(waiter);
    const auto* open = &*std::ranges::find(requests, false, &Request::answered);
    return std::unexpected(no_answer(*open, wait.over()));
  }
  return {};
}

Expected<Bytes> Connection::call(Request request, const Wait& wait) {
  if (auto done = run(std::span(&request, 1), wait); !done)
    return std::unexpected(std::move(done.error()));
  if (request.code != 0)
    return std::unexpected(
        error_of(request.code, fmt::format("KVMi {}", name_of(request.command))));
  return std::move(request.data);
}

Expected<void> Connection::post(ByteSpan bytes) {
  const std::lock_guard lock(mutex_);
  if (end_) return std::unexpected(*end_);
  unsent_.insert(unsent_.end(), bytes.begin(), bytes.end());
  flush();
  return {};
}

Expected<void> Connection::post(const Request& request) {
  const std::lock_guard lock(mutex_);
  if (end_) return std::unexpected(*end_);
  add(unsent_, request, {});
  ++abandoned_;
  flush();
  return {};
}

}  // namespace microvmi::kvm
