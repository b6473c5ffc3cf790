// SPDX-License-Identifier: Apache-2.0
// Requests and responses share the slots; counters run on and wrap.
#include "driver/xen/ring.hpp"

#include <fmt/format.h>

#include <atomic>

namespace microvmi::xen {
namespace {

// struct vm_event_sring: four counters, room for others, the slots.
constexpr std::size_t kRequestsMade = 0;
constexpr std::size_t kRequestEvent = 4;
constexpr std::size_t kResponsesMade = 8;
constexpr std::size_t kResponseEvent = 12;
constexpr std::size_t kFirstSlot = 64;
static_assert(kFirstSlot + Ring::kSlots * kMessageSize <= Ring::kPage);
static_assert(kFirstSlot + 2 * Ring::kSlots * kMessageSize > Ring::kPage);

}  // namespace

Ring::Ring(void* page) : page_(static_cast<std::byte*>(page)) {
  write(kRequestsMade, 0);
  write(kResponsesMade, 0);
  write(kRequestEvent, 1);
  write(kResponseEvent, 1);
}

std::uint32_t Ring::read(std::size_t offset) const {
  return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(page_ + offset))
      .load(std::memory_order_acquire);
}

void Ring::write(std::size_t offset, std::uint32_t value) {
  std::atomic_ref(*reinterpret_cast<std::uint32_t*>(page_ + offset)).store(value);
}

std::byte* Ring::slot(std::uint32_t index) const {
  return page_ + kFirstSlot + index % kSlots * kMessageSize;
}

// Whoever has seen the ring empty asks to be told of the next request, and looks once more: one may
// have come in between.
Expected<std::optional<Message>> Ring::take() {
  if (read(kRequestsMade) == taken_) write(kRequestEvent, taken_ + 1);
  const std::uint32_t waiting = read(kRequestsMade) - taken_;
  if (waiting == 0) return std::nullopt;
  if (waiting > kSlots)
    return fail(Errc::protocol,
                fmt::format("Xen's ring says that {} events wait in {} places", waiting, kSlots));
  Message out;
  std::memcpy(out.bytes.data(), slot(taken_), kMessageSize);
  ++taken_;
  return out;
}

void Ring::put(const Message& response) {
  std::memcpy(slot(put_), response.bytes.data(), kMessageSize);
  ++put_;
  write(kResponsesMade, put_);
}

}  // namespace microvmi::xen
