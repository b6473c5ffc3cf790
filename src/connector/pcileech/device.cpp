// SPDX-License-Identifier: Apache-2.0
// LeechCore tells a map of 4 GiB where it knows none; such a one is not believed.
#include "connector/pcileech/device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "connector/pcileech/library.hpp"
#include "init/native.hpp"

namespace microvmi::pcileech_connector {
namespace {

constexpr std::size_t kFileLimit = 4 << 20;  // the longest map there may be, in its widest form
constexpr std::uint64_t kFourGiB = std::uint64_t{1} << 32;
constexpr const char* kGiveMap = "give the machine's memory map with memflow.pcileech.memmap";

// The hole for VGA and firmware of every PC (0xa0000 to 1 MiB), which LeechCore leaves out of a map
// that it made up for a running machine.
constexpr std::uint64_t kHole = 0xa0000;
constexpr std::uint64_t kBehindHole = 0x100000;

template <std::size_t N>
bool put(std::array<char, N>& into, const std::string& text) {
  if (text.size() >= N || text.contains('\0')) return false;
  into.fill('\0');
  std::ranges::copy(text, into.begin());
  return true;
}

// What the helper wrote, which may be anything.
template <std::size_t N>
std::string text_of(const std::array<char, N>& bytes) {
  std::string out(bytes.begin(), std::ranges::find(bytes, '\0'));
  std::ranges::replace_if(out, [](char c) { return c < ' ' || c == '\x7f'; }, '?');
  return out;
}

// [0, end) without the hole, which is what it makes up from an end that it looked for or assumed.
bool is_made_up(const std::vector<MapRange>& ranges) {
  return ranges.size() == 2 && ranges[0] == MapRange{0, kHole, 0} && ranges[1].gpa == kBehindHole &&
         ranges[1].real == kBehindHole;
}

// Of memory that may really be all there, pages from everywhere in it.
Expected<std::size_t> count_missing(Helper& helper, std::uint32_t count, const Wait& wait) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t gpa = kFourGiB / count * (i + 1) - kSlotSize;
    helper.shared().pieces[i] = {.gpa = gpa, .size = kSlotSize};
  }
  const auto answer = helper.call({.op = Op::read, .count = count}, wait);
  if (!answer) return std::unexpected(answer.error());
  const auto pieces = std::span(helper.shared().pieces).first(count);
  return std::ranges::count_if(pieces, [](const Piece& one) { return one.done != 1; });
}

Expected<void> believe(Helper& helper, const std::vector<MapRange>& ranges, bool is_volatile,
                       const Wait& wait) {
  if (ranges.front().gpa != 0 || ranges.back().gpa + ranges.back().size != kFourGiB) return {};
  if (ranges.size() != 1 && !is_made_up(ranges)) return {};
  constexpr const char* kAssumed =
      "LeechCore does not know where this machine's memory is: it assumes all of the first 4 GiB";
  if (is_volatile) return fail(Errc::not_supported, kAssumed, {}, kGiveMap);
  constexpr std::uint32_t kTried = 64;
  const auto missing = count_missing(helper, kTried, wait);
  if (!missing) return std::unexpected(missing.error());
  if (*missing == 0) return {};
  return fail(
      Errc::not_supported,
      fmt::format("{}, and {} of {} pages tried there cannot be read", kAssumed, *missing, kTried),
      {}, kGiveMap);
}

// What lies in the slots after an answer.
Expected<std::vector<MapRange>> ranges_in(Helper& helper, const Message& answer) {
  if (answer.result == Result::no_map || answer.count == 0)
    return fail(Errc::not_supported, "LeechCore tells no memory map", {}, kGiveMap);
  if (answer.result != Result::ok || answer.count > std::min(kMostRanges, kMostSharedRanges))
    return fail(Errc::not_supported,
                fmt::format("LeechCore's memory map has {} ranges, more than {}", answer.count,
                            kMostRanges),
                {}, kGiveMap);
  std::vector<Range> told(answer.count);
  std::memcpy(static_cast<void*>(told.data()), helper.shared().slots.data(),
              told.size() * sizeof(Range));
  std::vector<MapRange> ranges;
  ranges.reserve(told.size());
  for (const Range& one : told) ranges.push_back({one.gpa, one.size, one.real});
  std::ranges::sort(ranges, {}, &MapRange::gpa);
  if (const std::string problem = problem_of(ranges); !problem.empty())
    return fail(Errc::protocol, "LeechCore's memory map is wrong: " + problem, {}, kGiveMap);
  return ranges;
}

Expected<MemoryMap> believed_map(Helper& helper, const Message& answer, bool is_volatile,
                                 const Wait& wait) {
  const auto ranges = ranges_in(helper, answer);
  if (!ranges) return std::unexpected(ranges.error());
  if (auto done = believe(helper, *ranges, is_volatile, wait); !done)
    return std::unexpected(done.error());
  return map_of(*ranges, !is_made_up(*ranges));
}

std::string version_of(const Opened& opened) {
  return fmt::format("{}.{}.{}", opened.version[0], opened.version[1], opened.version[2]);
}

// Why the device is not open.
Error failure_of(Result result, const Opened& opened, const PcileechParams& params) {
  const std::string text = text_of(opened.text);
  switch (result) {
    case Result::no_library:
      return {.code = Errc::not_found,
              .message = "LeechCore cannot be loaded: " + text,
              .hint = "install what it needs, or name another in memflow.pcileech.library"};
    case Result::no_symbol:
      return {.code = Errc::not_supported,
              .message = fmt::format("this library is no LeechCore 2: it has no {}", text)};
    case Result::wrong_version:
      return {
          .code = Errc::not_supported,
          .message = fmt::format("LeechCore {} is of a version whose interface is not known; 2 is",
                                 version_of(opened))};
    case Result::no_device:
      return {.code = Errc::not_found,
              .message = fmt::format("LeechCore opens no device '{}'", params.device),
              .hint = "see the device strings in LeechCore's wiki"};
    case Result::map_refused:
      return {.code = Errc::not_supported, .message = "LeechCore does not take the memory map"};
    case Result::no_auto_clear:
      return {.code = Errc::not_supported,
              .message = "the device cannot clear its status register: bitstream " + text,
              .hint = "leave out auto-clear, or use bitstream 4.7 or later"};
    default:
      return {.code = Errc::protocol, .message = "LeechCore's helper does not know its own calls"};
  }
}

Expected<Message> call_open(Helper& helper, const PcileechParams& params, const Wanted& wanted,
                            const Wait& wait) {
  Device& device = helper.shared().device;
  put(device.library, wanted.library.string());
  put(device.device, params.device);
  put(device.remote, params.remote.value_or(""));
  device.auto_clear = params.auto_clear ? 1 : 0;
  std::vector<Range> ranges;
  ranges.reserve(wanted.ranges.size());
  for (const MapRange& one : wanted.ranges) ranges.push_back({one.gpa, one.size, one.real});
  if (!ranges.empty())
    std::memcpy(helper.shared().slots.data(), ranges.data(), ranges.size() * sizeof(Range));
  return helper.call({.op = Op::open, .count = static_cast<std::uint32_t>(ranges.size())}, wait);
}

}  // namespace

Expected<Wanted> wanted_of(const PcileechParams& params) {
  Device room;
  if (params.device.empty() || !put(room.device, params.device))
    return fail(Errc::invalid_argument,
                "memflow.pcileech.device is empty or longer than the 259 characters of LeechCore");
  if (params.remote && !put(room.remote, *params.remote))
    return fail(Errc::invalid_argument,
                "memflow.pcileech.remote is longer than the 259 characters of LeechCore");
  auto library = find_library(params.library);
  if (!library) return std::unexpected(library.error());
  if (!put(room.library, library->string()))
    return fail(Errc::invalid_argument, "memflow.pcileech.library is too long a path");
  Wanted out{.library = *std::move(library)};
  if (!params.memmap) return out;
  const auto text = read_text_file(*params.memmap, kFileLimit);
  if (!text) return std::unexpected(text.error());
  auto ranges = parse_memmap(*text, params.memmap->string());
  if (!ranges) return std::unexpected(ranges.error());
  out.ranges = *std::move(ranges);
  return out;
}

Expected<OpenedDevice> open_device(Helper& helper, const PcileechParams& params,
                                   const Wanted& wanted, const Wait& wait) {
  const auto answer = call_open(helper, params, wanted, wait);
  if (!answer) return std::unexpected(answer.error());
  const Opened opened = helper.shared().opened;
  if (answer->result != Result::ok && answer->result != Result::no_map)
    return std::unexpected(failure_of(answer->result, opened, params));
  OpenedDevice out{.version = version_of(opened),
                   .name = text_of(opened.device),
                   .is_volatile = opened.is_volatile != 0,
                   .is_writable = opened.is_writable != 0,
                   .is_remote = opened.is_remote != 0};
  if (!wanted.ranges.empty()) {
    out.map = map_of(wanted.ranges, true);
    return out;
  }
  auto map = believed_map(helper, *answer, out.is_volatile, wait);
  if (!map) return std::unexpected(map.error());
  out.map = *std::move(map);
  return out;
}

Expected<MemoryMap> ask_map(Helper& helper, bool is_volatile, const Wait& wait) {
  const auto answer = helper.call({.op = Op::map}, wait);
  if (!answer) return std::unexpected(answer.error());
  return believed_map(helper, *answer, is_volatile, wait);
}

}  // namespace microvmi::pcileech_connector
