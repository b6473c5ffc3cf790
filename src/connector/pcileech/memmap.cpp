// SPDX-License-Identifier: Apache-2.0
// Which text it is; LeechCore's lines; and the rules that hold for both.
#include "connector/pcileech/memmap.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "arch/x86/firmware.hpp"
#include "connector/pcileech/memmap_toml.hpp"

namespace microvmi::pcileech_connector {
namespace {

// Intel SDM volume 3, 4.1.4: MAXPHYADDR is at most 52.
constexpr std::uint64_t kEndOfAddresses = std::uint64_t{1} << 52;

std::string to_text(const MapRange& range) {
  return fmt::format("{:#x}-{:#x}", range.gpa, range.gpa + range.size - 1);
}

std::string problem_of_one(const MapRange& range) {
  if (range.size == 0) return fmt::format("the range at {:#x} is empty", range.gpa);
  if (range.size > kEndOfAddresses || range.gpa > kEndOfAddresses - range.size ||
      range.real > kEndOfAddresses - range.size)
    return fmt::format("the range of {:#x} bytes at {:#x} goes past the last physical address",
                       range.size, range.gpa);
  if (range.gpa % kPageSize != 0 || range.size % kPageSize != 0 || range.real % kPageSize != 0)
    return fmt::format("the range {} is not of whole pages of 4 KiB", to_text(range));
  return {};
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

using Words = std::vector<std::string_view>;

// What '#' does not cut off, without the arrows between the numbers.
Words words_of(std::string_view line) {
  line = line.substr(0, line.find('#'));
  Words out;
  for (std::size_t at = 0; at < line.size();) {
    if (is_blank(line[at])) {
      ++at;
      continue;
    }
    const std::size_t start = at;
    while (at < line.size() && !is_blank(line[at])) ++at;
    const std::string_view word = line.substr(start, at - start);
    if (word != "-" && word != "->") out.push_back(word);
  }
  return out;
}

// LeechCore's own text begins each line with a number of four digits, of which two are zeros.
bool is_index(std::string_view word) { return word.size() == 4 && word.starts_with("00"); }

std::expected<std::uint64_t, std::string> number_of(std::string_view word) {
  std::string_view digits = word;
  if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, 16);
  if (error == std::errc{} && end == digits.end()) return value;
  return std::unexpected(fmt::format("'{}' is no hexadecimal number", word));
}

// "base last [real]". LeechCore also takes the first address behind the range for its last one.
std::expected<MapRange, std::string> range_of(std::span<const std::string_view> words) {
  std::array<std::uint64_t, 3> numbers{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto number = number_of(words[i]);
    if (!number) return std::unexpected(number.error());
    numbers[i] = *number;
  }
  const auto [base, last, real] = numbers;
  if (last <= base)
    return std::unexpected(fmt::format("the last address {:#x} is not above {:#x}", last, base));
  const bool includes_last = (last + 1) % kPageSize == 0;
  return MapRange{base, last - base + (includes_last ? 1 : 0), words.size() == 3 ? real : base};
}

std::expected<MapRange, std::string> line_of(const Words& words) {
  if (words.size() == 2 && is_index(words[0]))
    return std::unexpected(fmt::format(
        "'{}' stands where LeechCore reads a line's number; write the address as 0", words[0]));
  const bool numbered = words.size() > 2 && is_index(words[0]);
  const auto rest = std::span(words).subspan(numbered ? 1 : 0);
  if (rest.size() < 2 || rest.size() > 3)
    return std::unexpected("expects a base, a last address and optionally a real base");
  return range_of(rest);
}

Expected<std::vector<MapRange>> parse_lines(std::string_view text, const std::string& name) {
  std::vector<MapRange> out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const Words words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty()) continue;
    auto range = line_of(words);
    if (!range)
      return fail(Errc::invalid_argument,
                  fmt::format("{}, line {}: {}", name, number, range.error()));
    out.push_back(*range);
    if (out.size() > kMostRanges) break;
  }
  return out;
}

// Only TOML has brackets and equals signs.
bool is_toml(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.substr(0, line.find('#')).find_first_of("[=") != std::string_view::npos) return true;
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return false;
}

}  // namespace

std::string problem_of(const std::vector<MapRange>& ranges) {
  if (ranges.empty()) return "there is no range in it";
  if (ranges.size() > kMostRanges) return fmt::format("it has more than {} ranges", kMostRanges);
  for (const MapRange& range : ranges)
    if (std::string problem = problem_of_one(range); !problem.empty()) return problem;
  for (std::size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].gpa < ranges[i - 1].gpa + ranges[i - 1].size)
      return fmt::format("the ranges {} and {} overlap", to_text(ranges[i - 1]),
                         to_text(ranges[i]));
  return {};
}

Expected<std::vector<MapRange>> parse_memmap(std::string_view text, const std::string& name) {
  auto ranges = is_toml(text) ? parse_memmap_toml(text, name) : parse_lines(text, name);
  if (!ranges) return ranges;
  std::ranges::sort(*ranges, {}, &MapRange::gpa);
  if (const std::string problem = problem_of(*ranges); !problem.empty())
    return fail(Errc::invalid_argument, name + ": " + problem);
  return ranges;
}

MemoryMap map_of(const std::vector<MapRange>& ranges, bool exact) {
  MemoryMap map{.exact = exact};
  for (const MapRange& range : ranges) {
    const bool is_rom = is_firmware(Gpa{range.gpa}, range.size);
    const auto kind = is_rom ? MemoryRegion::Kind::rom : MemoryRegion::Kind::ram;
    if (!map.regions.empty() && map.regions.back().end() == Gpa{range.gpa} &&
        map.regions.back().kind == kind)
      map.regions.back().size += range.size;
    else
      map.regions.push_back({.gpa = Gpa{range.gpa}, .size = range.size, .kind = kind});
  }
  return map;
}

}  // namespace microvmi::pcileech_connector
