// SPDX-License-Identifier: Apache-2.0
// The reading thread: bytes become answers and events.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "driver/kvm/connection.hpp"
#include "driver/kvm/waiter.hpp"

namespace microvmi::kvm {
namespace {

// Many answers at once, where many are on their way.
constexpr std::size_t kChunk = 256UL * 1024;

std::unexpected<Error> nonsense(const std::string& what) {
  return fail(Errc::protocol, "KVMi: " + what, {},
              "the connection was ended, as nothing behind this can be believed");
}

Expected<void> detached(const std::string& how, bool inside) {
  return fail(
      Errc::disconnected,
      fmt::format("the guest was detached{}: {}", inside ? " in the middle of a message" : "", how),
      {}, "QEMU stopped, reset, saved or migrated it; open it again when it is back");
}

}  // namespace

void Connection::read_all() {
  buffer_.resize(kChunk);
  while (!closing_) {
    wait_for_socket();
    if (auto done = take_what_came(); !done) {
      fail_all(std::move(done.error()));
      return;
    }
  }
}

void Connection::wait_for_socket() {
  short wanted = POLLIN;
  {
    const std::lock_guard lock(mutex_);
    if (!unsent_.empty()) wanted |= POLLOUT;
  }
  std::array polled{pollfd{.fd = socket_.get(), .events = wanted, .revents = 0},
                    pollfd{.fd = wakeup_.get(), .events = POLLIN, .revents = 0}};
  // Without a limit: the destructor wakes it.
  ::poll(polled.data(), polled.size(), -1);
  if ((polled[1].revents & POLLIN) != 0) wakeup_.clear();
  if ((polled[0].revents & POLLOUT) != 0) {
    const std::lock_guard lock(mutex_);
    flush();
  }
}

Expected<void> Connection::take_what_came() {
  const auto came = native::receive(socket_.get(), std::span(buffer_).subspan(filled_));
  if (!came) return detached(came.error().message, filled_ != 0);
  if (*came == 0) {
    const std::lock_guard lock(mutex_);
    return deaf_ ? detached("it takes no more commands", false) : Expected<void>{};
  }
  filled_ += *came;
  const auto used = take_messages(std::span(buffer_).first(filled_));
  if (!used) return std::unexpected(used.error());
  // Less than a message, so that the buffer is never full.
  std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(*used),
            buffer_.begin() + static_cast<std::ptrdiff_t>(filled_), buffer_.begin());
  filled_ -= *used;
  return {};
}

Expected<std::size_t> Connection::take_messages(ByteSpan bytes) {
  std::size_t used = 0;
  while (bytes.size() - used >= kHeaderSize) {
    const Header header = parse_header(bytes.subspan(used));
    if (header.size > kMostPayload)
      return nonsense(
          fmt::format("a message of {} bytes, where {} are the most", header.size, kMostPayload));
    if (bytes.size() - used - kHeaderSize < header.size) break;
    const ByteSpan payload = bytes.subspan(used + kHeaderSize, header.size);
    const auto done =
        is_event(dialect_, header.id) ? take_event(header, payload) : take_answer(header, payload);
    if (!done) return std::unexpected(done.error());
    used += kHeaderSize + header.size;
  }
  return used;
}

Expected<void> Connection::take_answer(const Header& header, ByteSpan payload) {
  const std::lock_guard lock(mutex_);
  const auto found = pending_.find(header.seq);
  if (found == pending_.end())
    return nonsense(
        fmt::format("an answer with sequence number {}, which no command has", header.seq));
  const Pending pending = found->second;
  if (pending.id != header.id)
    return nonsense(
        fmt::format("an answer with id {} to a command with id {}", header.id, pending.id));
  if (payload.size() < kErrorSize)
    return nonsense(fmt::format("an answer of {} bytes", payload.size()));
  pending_.erase(found);
  if (!pending.request) {
    --abandoned_;
    return {};
  }
  Request& request = *pending.request;
  request.code = static_cast<std::int32_t>(load(payload, 0, 4));
  const ByteSpan data = payload.subspan(kErrorSize);
  if (request.code == 0 && !request.into.empty()) {
    if (data.size() < request.into.size())
      return nonsense(fmt::format("{} answered with {} bytes instead of {}",
                                  name_of(request.command), data.size(), request.into.size()));
    std::ranges::copy(data.first(request.into.size()), request.into.begin());
  } else if (request.code == 0) {
    request.data.assign(data.begin(), data.end());
  }
  request.answered = true;
  pending.waiter->count_answer();
  return {};
}

Expected<void> Connection::take_event(const Header& header, ByteSpan payload) {
  auto told = std::make_unique<ToldEvent>();
  told->payload.assign(payload.begin(), payload.end());
  auto message = parse_event(dialect_, header, told->payload);
  if (!message) return std::unexpected(std::move(message.error()));
  told->message = *message;
  return listener_.on_event(std::move(told));
}

void Connection::fail_all(Error error) {
  {
    const std::lock_guard lock(mutex_);
    end_ = error;
    drained_.notify_all();
    for (auto& [seq, pending] : pending_)
      if (pending.waiter) pending.waiter->changed.notify_all();
  }
  // So that the kernel lets go whatever waits for us.
  native::shut_down(socket_.get());
  if (listener_.on_end) listener_.on_end(error);
}

}  // namespace microvmi::kvm
