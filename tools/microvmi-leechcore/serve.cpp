// SPDX-License-Identifier: Apache-2.0
// One call after the other: into LeechCore, and its answer back.
#include "serve.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "device.hpp"

namespace microvmi::leechcore {
namespace {

using pcileech_connector::kCallFd;
using pcileech_connector::kMostSharedRanges;
using pcileech_connector::kProtocolVersion;
using pcileech_connector::kSharedFd;
using pcileech_connector::kSlots;
using pcileech_connector::kSlotSize;
using pcileech_connector::Message;
using pcileech_connector::Op;
using pcileech_connector::Result;
using pcileech_connector::Shared;

void put(std::span<char> into, const std::string& text) {
  const std::size_t size = std::min(text.size(), into.size() - 1);
  std::memcpy(into.data(), text.data(), size);
  into[size] = '\0';
}

class Server {
 public:
  explicit Server(Shared& shared) : shared_(shared) {}

  void close() {
    if (device_) device_->close();
  }

  Message answer(const Message& call) {
    Message out{.op = call.op};
    if (call.op == Op::hello)
      out.first = kProtocolVersion;
    else if (call.op == Op::open && !device_ && call.count <= kMostSharedRanges)
      open(call, out);
    else if (call.op == Op::map && device_)
      tell_map(out);
    else if ((call.op == Op::read || call.op == Op::write) && device_ && call.first <= kSlots &&
             call.count <= kSlots - call.first)
      move(call, out);
    else
      out.result = Result::wrong_call;
    return out;
  }

 private:
  [[nodiscard]] std::byte* bytes() { return shared_.slots.front().data(); }

  void open(const Message& call, Message& out) {
    shared_.device.library.back() = '\0';
    const auto library = load(shared_.device.library.data());
    if (!library) return fail(library.error(), out);
    std::vector<Range> ranges(call.count);
    if (!ranges.empty())
      std::memcpy(static_cast<void*>(ranges.data()), bytes(), ranges.size() * sizeof(Range));
    device_.emplace(*library);
    const Failure failure = device_->open(shared_.device, ranges, shared_.opened);
    if (failure.result == Result::ok) return tell_map(out);
    fail(failure, out);
  }

  void fail(const Failure& failure, Message& out) {
    out.result = failure.result;
    put(shared_.opened.text, failure.text);
  }

  void tell_map(Message& out) {
    const std::vector<Range> ranges = device_->map();
    if (ranges.empty()) out.result = Result::no_map;
    // The other side refuses a map that is longer than what is there.
    out.count = static_cast<std::uint32_t>(ranges.size());
    const std::size_t there = std::min(ranges.size(), kMostSharedRanges);
    if (there != 0) std::memcpy(bytes(), ranges.data(), there * sizeof(Range));
  }

  void move(const Message& call, Message& out) {
    const auto pieces = std::span(shared_.pieces).subspan(call.first, call.count);
    std::byte* slots = bytes() + call.first * kSlotSize;
    if (call.op == Op::read)
      device_->read(pieces, slots);
    else
      device_->write(pieces, slots);
    out.first = call.first;
    out.count = call.count;
  }

  Shared& shared_;
  std::optional<leechcore::Device> device_;
};

}  // namespace

int serve() {
  void* shared = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, kSharedFd, 0);
  ::close(kSharedFd);
  if (shared == MAP_FAILED) return 1;
  Server server(*static_cast<Shared*>(shared));
  while (true) {
    Message call;
    const ssize_t size = ::recv(kCallFd, &call, sizeof call, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size == 0) server.close();
    if (size != sizeof call) return size == 0 ? 0 : 1;
    const Message answer = server.answer(call);
    if (::send(kCallFd, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) return 1;
  }
}

}  // namespace microvmi::leechcore
