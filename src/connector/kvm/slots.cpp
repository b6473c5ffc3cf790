// SPDX-License-Identifier: Apache-2.0
// From memory slots to a layout: which are the guest's memory, and which are not for us.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "connector/kvm/layout.hpp"

namespace microvmi::kvm_connector {
namespace {

// Types of VM of arch/x86/include/uapi/asm/kvm.h, KVM_X86_*_VM; 0 is the ordinary one.
constexpr std::array kTypes{"ordinary", "software-protected", "SEV", "SEV-ES", "SEV-SNP", "TDX"};

std::string range_of(const host::Memslot& slot) {
  return fmt::format("{:#x}-{:#x}", slot.gpa, slot.gpa + (slot.size - 1));
}

Expected<void> is_readable(const host::SlottedVm& vm) {
  if (vm.type != 0)
    return fail(
        Errc::not_supported,
        fmt::format("the memory of the guest is private to it: a virtual machine of type {}",
                    vm.type < kTypes.size() ? kTypes[vm.type] : std::to_string(vm.type)));
  for (const host::Memslot& one : vm.slots)
    if ((one.flags & host::kSlotGuestMemfd) != 0)
      return fail(Errc::not_supported,
                  fmt::format("the memory of the guest is private to it: slot {} at {} is of a "
                              "guest_memfd",
                              one.id, range_of(one)),
                  Gpa{one.gpa});
  return {};
}

// A file of a device, other than those whose pages are memory.
bool is_device(const host::Mapping& mapping) {
  constexpr std::array<std::string_view, 4> kMemory{"/dev/shm/", "/dev/hugepages", "/dev/zero",
                                                    "/dev/dax"};
  if (mapping.path.starts_with("anon_inode:")) return true;
  return mapping.path.starts_with("/dev/") &&
         std::ranges::none_of(kMemory, [&](auto one) { return mapping.path.starts_with(one); });
}

// Sorted, as all mappings are: any number of slots may be of the same tens of thousands of them.
std::vector<const host::Mapping*> devices_in(std::span<const host::Mapping> maps) {
  std::vector<const host::Mapping*> out;
  for (const host::Mapping& one : maps)
    if (is_device(one)) out.push_back(&one);
  return out;
}

const host::Mapping* device_in(const host::Memslot& slot,
                               std::span<const host::Mapping* const> devices) {
  const auto found = std::ranges::upper_bound(devices, slot.hva, {}, &host::Mapping::end);
  if (found == devices.end() || (*found)->start >= slot.hva + slot.size) return nullptr;
  return *found;
}

// Whether the first address space has the same memory at the same place.
bool is_in(const host::Memslot& slot, const std::vector<host::Segment>& segments) {
  return std::ranges::any_of(segments, [&slot](const host::Segment& one) {
    const std::uint64_t offset = slot.gpa - to_integer(one.gpa);
    return offset < one.size && slot.size <= one.size - offset && one.hva + offset == slot.hva;
  });
}

}  // namespace

Expected<SlotView> view_of(const host::SlottedVm& vm, std::span<const host::Mapping> maps) {
  if (auto done = is_readable(vm); !done) return std::unexpected(done.error());
  SlotView out;
  const auto devices = devices_in(maps);
  for (const host::Memslot& one : vm.slots) {
    if (one.space != 0 || (one.flags & host::kSlotInvalid) != 0) continue;
    if (const host::Mapping* device = device_in(one, devices)) {
      out.notes.push_back(
          fmt::format("{} is memory of {} and is not read", range_of(one), device->path));
      continue;
    }
    const bool rom = (one.flags & host::kSlotReadOnly) != 0;
    out.layout.segments.push_back(
        {.gpa = Gpa{one.gpa},
         .size = one.size,
         .hva = one.hva,
         .kind = rom ? MemoryRegion::Kind::rom : MemoryRegion::Kind::ram});
  }
  if (out.layout.segments.empty())
    return fail(Errc::not_found, "the virtual machine has no memory slots");
  std::ranges::sort(out.layout.segments, {}, &host::Segment::gpa);
  for (const host::Memslot& one : vm.slots)
    if (one.space != 0 && !is_in(one, out.layout.segments))
      out.notes.push_back(
          fmt::format("{} is something else in the second address space (SMM)", range_of(one)));
  return out;
}

}  // namespace microvmi::kvm_connector
