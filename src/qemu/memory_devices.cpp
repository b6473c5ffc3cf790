// SPDX-License-Identifier: Apache-2.0
// First fit in the order of the command line, as memory_device_get_free_addr() does it.
#include "qemu/memory_devices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace microvmi::qemu {
namespace {

constexpr std::uint64_t kMost = std::uint64_t{1} << 56U;  // of any guest address space

// ACPI_MAX_RAM_SLOTS, include/hw/acpi/acpi.h. A command line of a few MB could name more devices
// than can be laid out in hours.
constexpr std::size_t kMostDevices = 256;

struct Taken {
  std::uint64_t start;
  std::uint64_t end;
};

bool is_memory_device(std::string_view driver) {
  constexpr std::array<std::string_view, 6> kDrivers{
      "pc-dimm", "nvdimm", "virtio-mem", "virtio-mem-pci", "virtio-pmem", "virtio-pmem-pci"};
  return std::ranges::find(kDrivers, driver) != kDrivers.end();
}

// Anonymous memory is aligned for huge pages (QEMU_VMALLOC_ALIGN), files to their pages.
std::uint64_t grain_of(const RamBackend& backend) {
  return backend.kind == RamBackend::Kind::ram ? 2 * kMiB : kPageSize;
}

std::uint64_t first_fit(std::vector<Taken>& taken, std::uint64_t start, std::uint64_t size,
                        std::uint64_t grain) {
  std::ranges::sort(taken, {}, &Taken::start);
  std::uint64_t at = round_up(start, grain);
  for (const Taken& one : taken)
    if (at < one.end && at + size > one.start) at = round_up(one.end, grain);
  return at;
}

// Bytes that the guest sees: an nvdimm hides its label at the end of the backend.
std::uint64_t visible_size(const Device& device, const RamBackend& backend) {
  const std::uint64_t label = parse_size(device.options.text("label-size")).value_or(0);
  if (label == 0 || label >= backend.size) return backend.size;
  return (backend.size - label) / grain_of(backend) * grain_of(backend);
}

// A DIMM's "addr"; what has a PCI slot means that by "addr" and says "memaddr".
std::optional<std::uint64_t> address_in(const Device& device) {
  const char* const key = device.driver.starts_with("virtio") ? "memaddr" : "addr";
  const auto address = parse_size(device.options.text(key));
  return address && *address != 0 ? address : std::nullopt;
}

}  // namespace

Expected<void> add_memory_devices(const CommandLine& line, std::uint64_t start, GuestLayout& out) {
  std::vector<Taken> taken;
  for (const Device& device : line.devices) {
    if (!is_memory_device(device.driver)) continue;
    if (taken.size() == kMostDevices)
      return fail(Errc::invalid_argument, "more memory devices than QEMU can have");
    const std::string id = device.options.text("memdev");
    const RamBackend* backend = line.backend(id);
    const std::uint64_t size = backend ? visible_size(device, *backend) : 0;
    if (size == 0 || start == 0 || backend->size > kMost)
      return fail(
          Errc::not_supported,
          fmt::format("-device {} with memory backend \"{}\" is not understood", device.driver, id),
          {}, "start it with a QMP socket, which tells the layout");
    const std::uint64_t at =
        address_in(device).value_or(first_fit(taken, start, size, grain_of(*backend)));
    if (at > kMost) return fail(Errc::invalid_argument, "no such address: " + std::to_string(at));
    taken.push_back({at, at + size});
    out.extents.push_back({at, size, out.blocks.size(), 0});
    out.blocks.push_back({id, backend->size, backend->kind, backend->shared, backend->path});
    if (device.driver.starts_with("virtio-mem"))
      out.notes.emplace_back("not all of the memory of " + device.driver + " is plugged in");
  }
  return {};
}

}  // namespace microvmi::qemu
