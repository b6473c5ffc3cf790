// SPDX-License-Identifier: Apache-2.0
// Reads `info mtree -f`, whose lines mtree_print_flatview() in QEMU's softmmu/memory.c writes.
#include "qemu/mtree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

namespace microvmi::qemu {
namespace {

// Addresses and offsets have all their digits: the format is "%016" PRIx64.
constexpr std::size_t kDigits = 16;

// Takes text from the front of what is left of a line.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool take(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }

  template <class T>
  bool take_number(T& out, int base) {
    const auto [end, ec] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out, base);
    if (ec != std::errc{}) return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return true;
  }

  bool take_address(std::uint64_t& out) {
    const std::size_t before = rest_.size();
    return take_number(out, 16) && before - rest_.size() == kDigits;
  }

  // Up to the mark, which goes with it.
  std::optional<std::string_view> take_until(std::string_view mark) {
    const std::size_t at = rest_.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view out = rest_.substr(0, at);
    rest_.remove_prefix(at + mark.size());
    return out;
  }

  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::optional<FlatRange::Kind> kind_of(std::string_view word) {
  using enum FlatRange::Kind;
  constexpr std::array<std::pair<std::string_view, FlatRange::Kind>, 5> kinds{
      {{"ram", ram}, {"rom", rom}, {"romd", romd}, {"ramd", ram_device}, {"i/o", io}}};
  for (const auto& [name, kind] : kinds)
    if (name == word) return kind;
  return std::nullopt;
}

// "pc.ram @00000000000c0000 KVM": the name, its offset unless that is 0, and a mark for each
// address space in which KVM has the range as a slot.
bool take_tail(std::string_view tail, FlatRange& out) {
  while (tail.ends_with(" KVM")) tail.remove_suffix(4);
  const std::size_t mark = tail.rfind(" @");
  if (mark != std::string_view::npos && tail.size() - mark == kDigits + 2) {
    Cursor offset(tail.substr(mark + 2));
    if (offset.take_address(out.offset)) tail = tail.substr(0, mark);
  }
  out.region = tail;
  return !tail.empty();
}

// "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram"
std::optional<FlatRange> range_of(std::string_view line) {
  Cursor cursor(line);
  FlatRange out;
  std::uint64_t start = 0;
  std::uint64_t last = 0;
  int priority = 0;
  if (!cursor.take("  ") || !cursor.take_address(start) || !cursor.take("-") ||
      !cursor.take_address(last) || !cursor.take(" (prio ") || !cursor.take_number(priority, 10) ||
      !cursor.take(", "))
    return std::nullopt;
  out.nonvolatile = cursor.take("nv-");
  const auto word = cursor.take_until("): ");
  const auto kind = word ? kind_of(*word) : std::nullopt;
  if (!kind || last < start || !take_tail(cursor.rest(), out)) return std::nullopt;
  out.kind = *kind;
  out.gpa = Gpa{start};
  out.size = last - start + 1;  // 0 for all of 2^64
  const bool wraps = out.kind != FlatRange::Kind::io &&
                     out.size - 1 > std::numeric_limits<std::uint64_t>::max() - out.offset;
  return wraps ? std::nullopt : std::optional(std::move(out));
}

bool continues(const FlatRange& before, const FlatRange& next) {
  return before.kind == next.kind && before.kind != FlatRange::Kind::io &&
         before.region == next.region && before.nonvolatile == next.nonvolatile &&
         before.end() == next.gpa && before.offset + before.size == next.offset;
}

class Parser {
 public:
  // False where QEMU would not have written this line here.
  bool line(std::string_view text) {
    if (text.empty()) return true;
    if (text.starts_with("FlatView #")) return start_view(text);
    if (!in_view_) return false;
    if (text.starts_with(" AS \"")) return address_space(text);
    if (text.starts_with(" Root memory region: ")) return !std::exchange(ranges_may_come_, true);
    if (!ranges_may_come_) return false;
    if (text == "  No rendered FlatView") return true;
    auto range = range_of(text);
    return range && (!wanted_ || add(*std::move(range)));
  }

  [[nodiscard]] bool found() const { return found_; }
  std::vector<FlatRange> take() { return std::move(ranges_); }

 private:
  bool start_view(std::string_view text) {
    Cursor cursor(text);
    unsigned number = 0;
    in_view_ = true;
    ranges_may_come_ = false;
    wanted_ = false;
    return cursor.take("FlatView #") && cursor.take_number(number, 10) && cursor.rest().empty();
  }

  bool address_space(std::string_view text) {
    if (ranges_may_come_ || text.find("\", root: ") == std::string_view::npos) return false;
    if (!text.starts_with(" AS \"memory\", root: ")) return true;
    wanted_ = true;
    return !std::exchange(found_, true);
  }

  bool add(FlatRange range) {
    if (range.size == 0) return false;
    if (!ranges_.empty()) {
      FlatRange& before = ranges_.back();
      // Its last byte, as the end of a range that reaches 2^64 is 0.
      if (range.gpa <= before.gpa + (before.size - 1)) return false;
      if (continues(before, range)) {
        before.size += range.size;
        return true;
      }
    }
    ranges_.push_back(std::move(range));
    return true;
  }

  bool in_view_ = false;
  bool ranges_may_come_ = false;
  bool wanted_ = false;  // the view that is read now has the address space "memory"
  bool found_ = false;
  std::vector<FlatRange> ranges_;
};

}  // namespace

Expected<std::vector<FlatRange>> parse_mtree(std::string_view text) {
  Parser parser;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);  // the monitor ends its lines with both
    if (!parser.line(line))
      return fail(Errc::protocol, fmt::format("info mtree: line {} makes no sense: {:?}", number,
                                              line.substr(0, 80)));
  }
  if (!parser.found())
    return fail(Errc::protocol, "info mtree: there is no address space \"memory\"");
  return parser.take();
}

bool is_region_of(std::string_view region, std::string_view id) {
  constexpr std::string_view folder = "/objects/";  // where -object puts what it makes
  if (id.empty()) return false;
  return region == id || (region.starts_with(folder) && region.substr(folder.size()) == id);
}

std::vector<FlatRange> guest_ranges(std::span<const FlatRange> ranges,
                                    std::span<const std::string> backends) {
  const auto known = [&backends](const FlatRange& range) {
    return range.kind != FlatRange::Kind::io &&
           std::ranges::any_of(backends, [&range](const std::string& id) {
             return is_region_of(range.region, id);
           });
  };
  std::vector<FlatRange> out;
  std::ranges::copy_if(ranges, std::back_inserter(out), known);
  return out;
}

}  // namespace microvmi::qemu
