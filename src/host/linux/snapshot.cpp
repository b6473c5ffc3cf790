// SPDX-License-Identifier: Apache-2.0
// Checks a layout, cuts it at the process's mappings and maps what can be mapped.
#include "host/linux/snapshot.hpp"

#include <fmt/format.h>

namespace microvmi::host {
namespace {

// QEMU plugs DIMMs of 2 MiB at least; smaller mappings are heaps and stacks that come and go.
constexpr std::uint64_t kSmallestDimm = std::uint64_t{1} << 20;

bool wraps(std::uint64_t start, std::uint64_t size) { return size > ~start; }

Expected<void> check(const Layout& layout) {
  std::uint64_t end = 0;
  for (const Segment& s : layout.segments) {
    const std::uint64_t gpa = to_integer(s.gpa);
    const auto bad = [&](const char* what) {
      return fail(Errc::protocol,
                  fmt::format("the segment of {:#x} bytes at {:#x} {}", s.size, gpa, what), s.gpa);
    };
    if (s.size == 0) return bad("is empty");
    if (gpa % kPageSize != 0 || s.size % kPageSize != 0 || s.hva % kPageSize != 0)
      return bad("is not aligned to pages");
    if (wraps(gpa, s.size) || wraps(s.hva, s.size)) return bad("runs past the last address");
    if (gpa < end) return bad("overlaps the one before");
    end = gpa + s.size;
  }
  return {};
}

MemoryMap memory_map(const Layout& layout, const Snapshot* previous) {
  MemoryMap map{.exact = layout.exact};
  for (const Segment& s : layout.segments) {
    MemoryRegion* last = map.regions.empty() ? nullptr : &map.regions.back();
    if (last && last->end() == s.gpa && last->kind == s.kind)
      last->size += s.size;
    else
      map.regions.push_back({.gpa = s.gpa, .size = s.size, .kind = s.kind});
  }
  if (!previous) return map;
  const MemoryMap& old = *previous->map;
  const bool same = old.regions == map.regions && old.exact == map.exact;
  map.generation = old.generation + (same ? 0 : 1);
  return map;
}

class Builder {
 public:
  Builder(const Process& process, const SnapshotInput& input, Snapshot& out)
      : process_(process), input_(input), out_(out) {}

  void add(const Segment& segment) {
    std::uint64_t at = 0;
    while (at < segment.size) at += add_piece(segment, at);
  }

 private:
  // The part of the segment from `at` to the next border between mappings; its size.
  std::uint64_t add_piece(const Segment& segment, std::uint64_t at) {
    const std::uint64_t hva = segment.hva + at;
    const std::uint64_t left = segment.size - at;
    const auto& maps = input_.maps;
    const auto found = std::ranges::upper_bound(maps, hva, {}, &Mapping::end);
    Piece piece{.gpa = to_integer(segment.gpa) + at, .size = left, .hva = hva};
    if (found == maps.end()) return append(piece);
    if (found->start > hva) {  // nothing is mapped there: copying will fail and say so
      piece.size = std::min(left, found->start - hva);
      return append(piece);
    }
    piece.size = std::min(left, found->end - hva);
    piece.writable = found->write && segment.kind == MemoryRegion::Kind::ram;
    if (const auto index = mapping_of(*found)) {
      piece.mapping = *index;
      piece.local = out_.mappings[*index]->data() + (hva - found->start);
    }
    return append(piece);
  }

  // Joins it with the one before where both are copied in the same way.
  std::uint64_t append(const Piece& piece) {
    Piece* last = out_.pieces.empty() ? nullptr : &out_.pieces.back();
    if (last && !last->local && !piece.local && last->writable == piece.writable &&
        last->gpa + last->size == piece.gpa && last->hva + last->size == piece.hva)
      last->size += piece.size;
    else
      out_.pieces.push_back(piece);
    return piece.size;
  }

  std::optional<std::uint32_t> mapping_of(const Mapping& mapping) {
    if (!input_.map_files || !mapping.shared) return std::nullopt;
    for (std::uint32_t i = 0; i < out_.mappings.size(); ++i)
      if (out_.mappings[i]->of() == mapping) return i;
    auto opened = known(mapping);
    if (!opened) opened = RamMapping::open(process_, mapping);
    if (!opened) return std::nullopt;
    out_.mappings.push_back(std::move(opened));
    return static_cast<std::uint32_t>(out_.mappings.size() - 1);
  }

  [[nodiscard]] std::shared_ptr<const RamMapping> known(const Mapping& mapping) const {
    if (!input_.previous) return nullptr;
    for (const auto& old : input_.previous->mappings)
      if (old->of() == mapping) return old;
    return nullptr;
  }

  const Process& process_;
  const SnapshotInput& input_;
  Snapshot& out_;
};

}  // namespace

std::vector<Mapping> relevant(std::vector<Mapping> maps, const Layout& layout) {
  const auto holds_guest = [&layout](const Mapping& m) {
    return std::ranges::any_of(layout.segments, [&m](const Segment& s) {
      return s.hva < m.end && m.start < s.hva + s.size;
    });
  };
  std::erase_if(maps, [&](const Mapping& m) {
    const bool could_be = m.size() >= kSmallestDimm && (m.write || m.shared) && !m.execute;
    return !could_be && !holds_guest(m);
  });
  return maps;
}

Expected<std::unique_ptr<const Snapshot>> make_snapshot(const Process& process,
                                                        SnapshotInput input) {
  std::ranges::sort(input.layout.segments, {}, &Segment::gpa);
  if (auto checked = check(input.layout); !checked) return std::unexpected(checked.error());
  auto out = std::make_unique<Snapshot>();
  out->map = std::make_shared<const MemoryMap>(memory_map(input.layout, input.previous));
  out->serial = input.previous ? input.previous->serial + 1 : 0;
  Builder builder(process, input, *out);
  for (const Segment& segment : input.layout.segments) builder.add(segment);
  out->layout = std::move(input.layout);
  out->maps = relevant(std::move(input.maps), out->layout);
  return out;
}

}  // namespace microvmi::host
