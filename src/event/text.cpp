// SPDX-License-Identifier: Apache-2.0
// What asks for an event, from text.
#include "microvmi/event/text.hpp"

#include <string>

#include "microvmi/param/value.hpp"

namespace microvmi {
namespace {

constexpr std::uint64_t kLongestWatch = 1ULL << 20;  // no debugger watches more

using Words = std::vector<std::string_view>;

Words split(std::string_view text) {
  Words out;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(':', start), text.size());
    out.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

std::unexpected<Error> wrong(std::string_view text, std::string_view expected) {
  return fail(Errc::invalid_argument, "an event is asked for as " + std::string(expected) +
                                          ", not '" + std::string(text) + "'");
}

std::optional<std::uint64_t> number(std::string_view word) {
  const auto size = param::parse_size(word);
  return size ? std::optional(size->bytes) : std::nullopt;
}

std::optional<Access> access(std::string_view word) {
  if (word == "r") return Access{.read = true};
  if (word == "w") return Access{.write = true};
  if (word == "rw") return Access{.read = true, .write = true};
  return std::nullopt;
}

template <class E>
std::optional<typename E::Filter> filter_of(const Words& words) {
  return words.size() == 1 ? std::optional<typename E::Filter>{std::in_place} : std::nullopt;
}

template <>
std::optional<CrWrite::Filter> filter_of<CrWrite>(const Words& words) {
  for (const Reg reg : {Reg::cr0, Reg::cr3, Reg::cr4})
    if (words.size() == 2 && words[1] == kRegisters[static_cast<std::size_t>(reg)].name)
      return CrWrite::Filter{reg};
  return std::nullopt;
}

template <>
std::optional<MsrWrite::Filter> filter_of<MsrWrite>(const Words& words) {
  const auto msr = words.size() == 2 ? number(words[1]) : std::nullopt;
  if (!msr || *msr > UINT32_MAX) return std::nullopt;
  return MsrWrite::Filter{static_cast<std::uint32_t>(*msr)};
}

template <>
std::optional<Breakpoint::Filter> filter_of<Breakpoint>(const Words& words) {
  const auto gva = words.size() >= 2 ? number(words[1]) : std::nullopt;
  const bool hardware = words.size() == 3 && words[2] == "hardware";
  if (!gva || (words.size() != 2 && !hardware)) return std::nullopt;
  return Breakpoint::Filter{Gva{*gva},
                            hardware ? Breakpoint::Kind::hardware : Breakpoint::Kind::software};
}

template <>
std::optional<Watchpoint::Filter> filter_of<Watchpoint>(const Words& words) {
  const auto gva = words.size() >= 2 ? number(words[1]) : std::nullopt;
  if (!gva) return std::nullopt;
  Watchpoint::Filter out{.gva = Gva{*gva}, .length = 1, .access = {.write = true}};
  std::size_t next = 2;
  if (next < words.size() && !access(words[next])) {
    const auto length = number(words[next++]);
    if (!length || *length == 0 || *length > kLongestWatch || *length - 1 > ~*gva)
      return std::nullopt;
    out.length = static_cast<std::uint32_t>(*length);
  }
  if (next < words.size()) {
    const auto wanted = access(words[next++]);
    if (!wanted) return std::nullopt;
    out.access = *wanted;
  }
  return next == words.size() ? std::optional(out) : std::nullopt;
}

template <class E>
constexpr const char* kUsage = E::kName;
template <>
constexpr const char* kUsage<CrWrite> = "cr_write:cr0, cr3 or cr4";
template <>
constexpr const char* kUsage<MsrWrite> = "msr_write:INDEX";
template <>
constexpr const char* kUsage<Breakpoint> = "breakpoint:GVA[:hardware]";
template <>
constexpr const char* kUsage<Watchpoint> = "watchpoint:GVA[:LEN][:r|w|rw], of 1 to 1M bytes";

template <class... Kinds>
Expected<Intercept> parse(std::string_view text, EventKinds<Kinds...>*) {
  const Words words = split(text);
  std::string known;
  std::optional<Expected<Intercept>> found;
  const auto attempt = [&]<class E>(E*) {
    known += (known.empty() ? "" : ", ") + std::string(kUsage<E>);
    if (words[0] != E::kName) return;
    if (const auto filter = filter_of<E>(words))
      found = Intercept(*filter);
    else
      found = wrong(text, kUsage<E>);
  };
  (attempt(static_cast<Kinds*>(nullptr)), ...);
  return found ? *std::move(found) : wrong(text, "one of " + known);
}

}  // namespace

Expected<Intercept> parse_intercept(std::string_view text) {
  return parse(text, static_cast<AllEvents*>(nullptr));
}

}  // namespace microvmi
