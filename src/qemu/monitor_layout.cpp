// SPDX-License-Identifier: Apache-2.0
// Three questions to a monitor, and what their answers make together.
#include "qemu/monitor_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace microvmi::qemu {
namespace {

using Json = nlohmann::json;

// Each costs a question. 256 DIMMs and what the chipset makes of the first MiB are a tenth of it.
constexpr std::size_t kMostRanges = 4096;

Expected<std::string> human(const AskMonitor& ask, const std::string& line) {
  const auto answer = ask(human_command(line));
  if (!answer) return std::unexpected(answer.error());
  if (!answer->is_string()) return fail(Errc::protocol, "the monitor answered without a text");
  return answer->get<std::string>();
}

bool is_of_a_device(const CommandLine& line, const std::string& id) {
  return std::ranges::any_of(line.devices, [&](const Device& one) {
    return one.driver.starts_with("ivshmem") && one.options.get("memdev") == id;
  });
}

// Before QEMU 5.0 the RAM of -m was no backend; then it has one of these names.
Expected<std::vector<std::string>> backend_ids(const AskMonitor& ask, const CommandLine& line) {
  const auto answer = ask({.name = "query-memdev"});
  if (!answer) return std::unexpected(answer.error());
  const auto backends = parse_memdev(*answer);
  if (!backends) return std::unexpected(backends.error());
  std::vector<std::string> out{"pc.ram", "microvm.ram", "mach-virt.ram", "riscv_virt_board.ram"};
  for (const MemoryBackend& one : *backends)
    if (!one.id.empty() && !is_of_a_device(line, one.id)) out.push_back(one.id);
  return out;
}

// Of virtio-mem all that could be plugged in is mapped. A QEMU that does not know the question is
// older than the device.
bool has_virtio_mem(const AskMonitor& ask) {
  const auto answer = ask({.name = "query-memory-devices"});
  const auto devices = answer ? parse_memory_devices(*answer)
                              : Expected<std::vector<MemoryDevice>>(std::vector<MemoryDevice>());
  return devices && std::ranges::any_of(*devices, [](const MemoryDevice& one) {
           return one.type.starts_with("virtio-mem");
         });
}

// Nothing where something else is there by now.
Expected<std::optional<host::Segment>> segment_of(const AskMonitor& ask, const FlatRange& range) {
  const std::uint64_t gpa = to_integer(range.gpa);
  const auto text = human(ask, fmt::format("gpa2hva {:#x}", gpa));
  if (!text) return std::unexpected(text.error());
  const auto host = parse_gpa2hva(*text, range.gpa);
  if (!host) return std::unexpected(host.error());
  if (host->region != range.region) return std::nullopt;
  const bool is_rom = range.kind == FlatRange::Kind::rom;
  return host::Segment{.gpa = range.gpa,
                       .size = range.size,
                       .hva = host->hva,
                       .kind = is_rom ? MemoryRegion::Kind::rom : MemoryRegion::Kind::ram};
}

// Nothing where the layout changed in between.
Expected<std::optional<host::Layout>> ask_once(const AskMonitor& ask, const CommandLine& line) {
  const auto ids = backend_ids(ask, line);
  if (!ids) return std::unexpected(ids.error());
  const auto text = human(ask, "info mtree -f");
  if (!text) return std::unexpected(text.error());
  const auto ranges = parse_mtree(*text);
  if (!ranges) return std::unexpected(ranges.error());
  const auto guest = guest_ranges(*ranges, *ids);
  if (guest.size() > kMostRanges)
    return fail(Errc::protocol, fmt::format("the monitor tells of {} ranges of guest memory, more "
                                            "than a guest has",
                                            guest.size()));
  host::Layout out;
  for (const FlatRange& range : guest) {
    const auto segment = segment_of(ask, range);
    if (!segment) return std::unexpected(segment.error());
    if (!*segment) return std::nullopt;
    out.segments.push_back(**segment);
  }
  out.exact = !has_virtio_mem(ask);
  if (out.segments.empty()) return fail(Errc::not_found, "the monitor tells of no guest memory");
  return out;
}

// Where the run of readable data mappings that begins in or before `address` ends.
std::uint64_t end_of_data(std::span<const host::Mapping> maps, std::uint64_t address) {
  auto one = std::ranges::upper_bound(maps, address, {}, &host::Mapping::end);
  std::uint64_t end = address;
  for (; one != maps.end() && one->start <= end && one->read && !one->execute; ++one)
    end = one->end;
  return end;
}

}  // namespace

Expected<host::Layout> ask_layout(const AskMonitor& ask, const CommandLine& line) {
  constexpr int kTries = 3;
  for (int i = 0; i < kTries; ++i) {
    auto layout = ask_once(ask, line);
    if (!layout) return std::unexpected(std::move(layout.error()));
    if (*layout) return **std::move(layout);
  }
  return fail(Errc::busy, "the memory layout changes while the monitor tells it");
}

Expected<void> check_mapped(const host::Layout& layout, std::span<const host::Mapping> maps) {
  for (const host::Segment& one : layout.segments) {
    const std::uint64_t have = end_of_data(maps, one.hva) - one.hva;
    if (have < one.size)
      return fail(
          Errc::protocol,
          fmt::format("{:#x} bytes should be at {:#x} in the process, where {:#x} are mapped",
                      one.size, one.hva, have),
          one.gpa);
  }
  return {};
}

}  // namespace microvmi::qemu
