// SPDX-License-Identifier: Apache-2.0
// Answers as Xen was seen to answer, or as its source says.
#include "unit/driver/xen/simulated_xen.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "driver/xen/state.hpp"

namespace microvmi::test::xen {

SimulatedXen::SimulatedXen() : channel_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
SimulatedXen::~SimulatedXen() { ::close(channel_); }

void SimulatedXen::happen(const std::vector<Message>& requests) {
  if (!front_) return;
  waiting_for_room_.insert(waiting_for_room_.end(), requests.begin(), requests.end());
  admit();
}

// A vCPU whose request finds no place waits, and tries again when it may run.
void SimulatedXen::admit() {
  bool any = false;
  while (front_ && pauses <= 0 && !waiting_for_room_.empty()) {
    bool notice = false;
    if (!front_->push(waiting_for_room_.front(), notice)) break;
    waiting_for_room_.pop_front();
    ++unanswered;
    any = any || notice;
  }
  if (!any) return;
  ++notices;
  const std::uint64_t count = 1;
  static_cast<void>(::write(channel_, &count, sizeof count));
}

Errno SimulatedXen::domains(std::vector<Domain>& out) {
  out = {Domain{.domid = 0}};
  if (!gone) out.push_back(one);
  return 0;
}

Errno SimulatedXen::domain(std::uint16_t domid, Domain& out) {
  const std::lock_guard lock(mutex_);
  if (gone || domid != one.domid) return ESRCH;
  out = one;
  out.paused = pauses > 0;
  return 0;
}

Errno SimulatedXen::pause(std::uint16_t) {
  const std::lock_guard lock(mutex_);
  if (gone) return ESRCH;
  ++pauses;
  return 0;
}

Errno SimulatedXen::unpause(std::uint16_t) {
  const std::lock_guard lock(mutex_);
  if (gone) return ESRCH;
  --pauses;
  admit();
  return 0;
}

void* SimulatedXen::map(std::uint16_t, bool writable, std::span<const std::uint64_t> wanted,
                        std::span<int> errors) {
  const std::lock_guard lock(mutex_);
  if (gone) {
    errno = ESRCH;
    return nullptr;
  }
  ++maps;
  mapped += wanted.size();
  Mapping mapping{
      std::vector<std::byte>(wanted.size() * 4096), {wanted.begin(), wanted.end()}, writable};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    // 40 bits of a frame are what the control domain's page tables have room for.
    const auto found = frames.find(wanted[i] & 0xffffffffff);
    errors[i] = found == frames.end() ? EINVAL : 0;
    if (errors[i] == 0)
      std::ranges::copy(found->second,
                        mapping.bytes.begin() + static_cast<std::ptrdiff_t>(i * 4096));
  }
  void* const at = mapping.bytes.data();
  mappings_.emplace(at, std::move(mapping));
  return at;
}

void SimulatedXen::unmap(void* pages, std::size_t count) {
  const std::lock_guard lock(mutex_);
  const auto node = mappings_.extract(pages);
  const Mapping& mapping = node.mapped();
  mapped -= count;
  for (std::size_t i = 0; mapping.writable && i < mapping.frames.size(); ++i)
    if (const auto found = frames.find(mapping.frames[i]); found != frames.end())
      std::memcpy(found->second.data(), mapping.bytes.data() + i * 4096, 4096);
}

Errno SimulatedXen::last_frame(std::uint16_t, std::uint64_t& frame) {
  frame = last;
  return gone ? ESRCH : 0;
}
Errno SimulatedXen::last_host_frame(std::uint64_t& frame) {
  frame = last;
  return 0;
}
Errno SimulatedXen::pages_on_demand(std::uint16_t, std::uint64_t& pages, std::uint64_t& given) {
  pages = on_demand;
  given = at_hand;
  return 0;
}

Errno SimulatedXen::frame_types(std::uint16_t, std::span<std::uint64_t> types) {
  if (!knows_types) return ENOSYS;
  if (types.size() > 1024) return E2BIG;
  const std::lock_guard lock(mutex_);
  asked_types += types.size();
  for (std::uint64_t& type : types) type = frames.contains(type) ? 0 : 0xf0000000;
  return 0;
}

Errno SimulatedXen::guest_width(std::uint16_t, unsigned& bytes) {
  bytes = 8;
  return 0;
}

Errno SimulatedXen::vcpu(std::uint16_t, std::uint32_t vcpu, VcpuFacts& out) {
  if (gone || vcpu >= one.vcpus) return ESRCH;
  out = {.online = vcpu < one.online, .blocked = false, .cpu_time = time_ += 2'000'000};
  return 0;
}

Errno SimulatedXen::hvm_record(std::uint16_t, std::uint16_t code, std::uint32_t vcpu,
                               std::span<std::byte> out) {
  const auto record = microvmi::xen::hvm_record_in(context, code, static_cast<std::uint16_t>(vcpu));
  if (record.empty()) return ENOENT;
  std::ranges::copy(record, out.begin());
  return 0;
}
Errno SimulatedXen::hvm_context(std::uint16_t, std::vector<std::byte>& out) {
  out = context;
  return 0;
}
Errno SimulatedXen::set_hvm_context(std::uint16_t, std::span<std::byte> given) {
  context.assign(given.begin(), given.end());
  return pauses > 0 ? 0 : EINVAL;
}
Errno SimulatedXen::pv_context(std::uint16_t, std::uint32_t, std::span<std::byte>) {
  return EINVAL;
}
Errno SimulatedXen::set_pv_context(std::uint16_t, std::uint32_t, std::span<std::byte>) {
  return EINVAL;
}

Errno SimulatedXen::inject(std::uint16_t, const Trap& trap) {
  traps.push_back(trap);
  return 0;
}

Errno SimulatedXen::event_version(std::uint32_t& version) {
  version = version_of_events;
  return 0;
}
Errno SimulatedXen::capabilities(std::uint16_t, std::uint32_t& out) {
  out = bits;
  return 0;
}

Errno SimulatedXen::enable_ring(std::uint16_t, RingPage& out) {
  if (ring_is_taken) return EBUSY;
  ring_is_taken = true;
  unanswered = 0;
  waiting_for_room_.clear();
  ++rings;
  out = {page_.data(), 3};
  page_.fill(std::byte{});
  front_.emplace(page_.data());
  return 0;
}

Errno SimulatedXen::disable_ring(std::uint16_t) {
  ++disabled;
  ring_is_taken = false;
  front_.reset();
  on.clear();
  return gone ? ESRCH : 0;
}

Errno SimulatedXen::monitor(std::uint16_t, Monitor what, std::uint32_t number, bool enable) {
  if (gone) return ESRCH;
  if (enable) switched_on.emplace_back(what, number);
  if (enable)
    on.emplace(what, number);
  else
    on.erase({what, number});
  return 0;
}

Errno SimulatedXen::frame_access(std::uint16_t, std::uint64_t frame, std::uint8_t& out) {
  if (!has_access) return EINVAL;
  if (!ring_is_taken) return ENODEV;
  out = access.contains(frame) ? access[frame] : 7;
  return 0;
}
Errno SimulatedXen::set_frame_access(std::uint16_t, std::uint64_t frame, std::uint8_t given) {
  if (!has_access) return EINVAL;
  access[frame] = given;
  return 0;
}

Errno SimulatedXen::take_notice() {
  std::uint64_t count = 0;
  return ::read(channel_, &count, sizeof count) < 0 ? errno : 0;
}

Errno SimulatedXen::notify() {
  Message response;
  while (front_ && front_->pop(response)) {
    responses.push_back(response);
    --unanswered;
  }
  admit();
  return gone ? ESRCH : 0;
}

}  // namespace microvmi::test::xen
