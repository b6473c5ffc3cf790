// SPDX-License-Identifier: Apache-2.0
// The machine's memory slots.
#include "support/kvm_vmm/machine.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace microvmi::kvm_vmm {
namespace {

constexpr std::uint64_t kSmram = 0xA0000;
constexpr std::uint64_t kSmramSize = 0x20000;

}  // namespace

void die(const char* what) {
  std::perror(what);
  std::_Exit(3);
}

Machine::Machine(const Options& options) : options_(options) {
  system_ = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (system_ < 0) die("/dev/kvm");
  vm_ = ::ioctl(system_, KVM_CREATE_VM, 0);
  if (vm_ < 0) die("KVM_CREATE_VM");
  // Three pages that Intel's processors need below 4 GiB, out of the way of every slot.
  if (::ioctl(vm_, KVM_SET_TSS_ADDR, 0xFFFBD000UL) != 0) die("KVM_SET_TSS_ADDR");
  low_ = map_stamped(0, kLowSize);
  set(slots_[0] = {
          .id = 0, .gpa = 0, .size = kLowSize, .hva = reinterpret_cast<std::uint64_t>(low_)});
  add(1, 0x1000000, 0x100000, 0);
  add(2, 0x100000000, 0x100000, 0);
  if (extension(KVM_CAP_READONLY_MEM) > 0) add(3, 0xFFFE0000, 0x20000, KVM_MEM_READONLY);
  add(kChurned, 0x2000000, 0x40000, 0);
  if (options_.smm) add_second_space();
}

void Machine::add_second_space() {
  if (extension(KVM_CAP_MULTI_ADDRESS_SPACE) < 2) return;
  Slot below = slots_[0];
  below.id = kSecondSpace;
  below.size = kSmram;
  set(slots_[below.id] = below);
  add(kSecondSpace | 1U, kSmram, kSmramSize, 0);
}

int Machine::extension(int capability) const {
  return ::ioctl(vm_, KVM_CHECK_EXTENSION, capability);
}

std::vector<Slot> Machine::slots() const {
  const std::lock_guard lock(mutex_);
  std::vector<Slot> all;
  for (const auto& [id, slot] : slots_) all.push_back(slot);
  return all;
}

std::byte* Machine::map(std::uint64_t size) const {
  int fd = -1;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  if (options_.backing == Backing::memfd) {
    fd = ::memfd_create("guest", MFD_CLOEXEC);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) die("memfd_create");
    flags = MAP_SHARED;
  }
  void* place = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (place == MAP_FAILED) die("mmap");
  if (fd >= 0) ::close(fd);
  return static_cast<std::byte*>(place);
}

std::byte* Machine::map_stamped(std::uint64_t gpa, std::uint64_t size) {
  std::byte* place = map(size);
  for (std::uint64_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = stamp(gpa + at, rounds_);
    std::memcpy(place + at, &word, sizeof word);
  }
  ++rounds_;
  return place;
}

void Machine::set(const Slot& slot) const {
  const kvm_userspace_memory_region region{.slot = slot.id,
                                           .flags = slot.flags,
                                           .guest_phys_addr = slot.gpa,
                                           .memory_size = slot.size,
                                           .userspace_addr = slot.hva};
  if (::ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region) != 0) die("KVM_SET_USER_MEMORY_REGION");
}

void Machine::add(std::uint32_t id, std::uint64_t gpa, std::uint64_t size, std::uint32_t flags) {
  const std::lock_guard lock(mutex_);
  const auto hva = reinterpret_cast<std::uint64_t>(map_stamped(gpa, size));
  const Slot slot{.id = id, .gpa = gpa, .size = size, .hva = hva, .flags = flags};
  set(slot);
  slots_[id] = slot;
}

void Machine::remove(std::uint32_t id, bool unmap) {
  const std::lock_guard lock(mutex_);
  Slot slot = slots_.at(id);
  slots_.erase(id);
  const std::uint64_t size = slot.size;
  slot.size = 0;  // that is how a slot is deleted
  set(slot);
  if (unmap) ::munmap(reinterpret_cast<void*>(slot.hva), size);
}

void Machine::remap(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  const Slot slot = slots_.at(id);
  remove(id, true);
  add(id, slot.gpa, slot.size, slot.flags);
}

void Machine::move(std::uint32_t id, std::uint64_t gpa) {
  const std::lock_guard lock(mutex_);
  slots_.at(id).gpa = gpa;
  set(slots_.at(id));
}

void Machine::set_flags(std::uint32_t id, std::uint32_t flags) {
  const std::lock_guard lock(mutex_);
  // Only KVM_MEM_LOG_DIRTY_PAGES may change of a slot that is there.
  slots_.at(id).flags = flags;
  set(slots_.at(id));
}

std::string Machine::read(std::uint32_t space, std::uint64_t gpa, std::uint64_t size) const {
  const std::lock_guard lock(mutex_);
  std::string out;
  bool more = true;
  while (more && out.size() < size) {
    more = false;
    for (const auto& [id, slot] : slots_) {
      const std::uint64_t offset = gpa + out.size() - slot.gpa;
      if (id >> 16U != space || offset >= slot.size) continue;
      const auto part = std::min(size - out.size(), slot.size - offset);
      out.append(reinterpret_cast<const char*>(slot.hva + offset), part);
      more = true;
      break;
    }
  }
  return out;
}

}  // namespace microvmi::kvm_vmm
