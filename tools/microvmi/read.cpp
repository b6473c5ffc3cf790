// SPDX-License-Identifier: Apache-2.0
// microvmi read: guest memory as a hex view, as bytes or as JSON, of any length.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "command.hpp"
#include "guest_bytes.hpp"
#include "hex_view.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr std::uint64_t kPiece = 1ULL << 20;  // read and printed at a time

struct ReadArgs {
  std::optional<std::string> gpa;
  std::optional<std::string> length;
  std::optional<std::string> pad;
  AddressKind kind;
  bool raw = false;
  bool json = false;
};

struct Range {
  std::uint64_t start = 0;
  std::uint64_t length = 0;
  std::optional<std::byte> pad{};
};

Range range_of(Session& session, ReadArgs& options) {
  const char* name = options.kind.is_virtual ? "the virtual address" : "GPA";
  Range range{.start = session.number(name, options.gpa),
              .length = session.number("LENGTH", options.length)};
  if (range.length == 0 && param::parse_size(options.length.value_or("")))
    session.wrong("LENGTH expects at least 1");
  if (range.length != 0 && range.start + (range.length - 1) < range.start)
    session.wrong(std::string(name) + " and LENGTH run past the last address there is");
  if (options.pad) {
    const std::uint64_t byte = session.number("--pad", options.pad);
    if (byte > 0xff) session.wrong("--pad expects a byte, not '" + *options.pad + "'");
    range.pad = static_cast<std::byte>(byte);
  }
  if (options.raw && options.json) session.wrong("--raw excludes --json");
  options.kind.check(session);
  return range;
}

// Why the map has nothing there: memory that a file was cut off before is no hole, and no padding
// helps.
Outcome explain_gap(GuestBytes& memory, std::uint64_t address) {
  std::array<std::byte, 1> byte{};
  const Transferred part = memory.read(address, byte);
  if (part.status == Errc::none) return {};  // it came meanwhile
  if (part.status != Errc::hole) return failed(part.why);
  return failed(
      fmt::format("hole: there is no memory at {} (--pad BYTE reads past it)", hex(address)));
}

// What the map says; a change meanwhile is told later.
Outcome check_holes(const MemoryMap& map, GuestBytes& memory, const Range& range) {
  std::uint64_t left = range.length;
  for (Gpa at{range.start}; left != 0;) {
    const MemoryRegion* region = map.find(at);
    if (!region) return explain_gap(memory, to_integer(at));
    const std::uint64_t size = std::min(left, region->end() - at);
    at = at + size;
    left -= size;
  }
  return {};
}

// What no map says is tried. One piece is read before it is printed anyway.
Outcome try_reads(Session& session, GuestBytes& memory, const Range& range) {
  if (range.length <= kPiece) return {};
  std::vector<std::byte> buffer(kPiece);
  for (std::uint64_t done = 0; done < range.length; done += kPiece) {
    if (session.stop().stop_requested()) return failed("interrupted");
    const auto into = std::span(buffer).first(std::min(range.length - done, kPiece));
    if (const Transferred part = memory.read(range.start + done, into); part.status != Errc::none)
      return failed(part.why);
  }
  return {};
}

// A failure comes before any output, unless things change meanwhile.
Outcome check_all(Session& session, Vm& vm, GuestBytes& memory, const Range& range) {
  if (range.pad) return {};
  const auto map = vm.memory().map();
  if (!memory.is_virtual() && map->exact) return check_holes(*map, memory, range);
  return try_reads(session, memory, range);
}

class Printer {
 public:
  Printer(Output& out, const ReadArgs& options, const Range& range)
      : out_(out), options_(options), range_(range), view_(range.start) {}

  Outcome begin() {
    if (!options_.json) return {};
    return out_.write(fmt::format("{{\n \"{}\": {},\n \"length\": {},\n \"hex\": \"",
                                  options_.kind.json_key(), range_.start, range_.length));
  }
  Outcome add(std::span<const std::byte> bytes) {
    if (options_.raw) return out_.write(bytes);
    return out_.write(options_.json ? plain_hex(bytes) : view_.add(bytes));
  }
  Outcome end() {
    if (options_.raw) return {};
    return out_.write(options_.json ? "\"\n}\n" : view_.finish());
  }

 private:
  Output& out_;
  const ReadArgs& options_;
  const Range& range_;
  HexView view_;
};

Transferred read_piece(GuestBytes& memory, std::uint64_t address, std::span<std::byte> into,
                       const Range& range) {
  return range.pad ? memory.read_padded(address, into, *range.pad) : memory.read(address, into);
}

Outcome print(Session& session, GuestBytes& memory, const ReadArgs& options, const Range& range) {
  Printer printer(session.out(), options, range);
  std::vector<std::byte> buffer(std::min(range.length, kPiece));
  for (std::uint64_t done = 0; done != range.length;) {
    if (session.stop().stop_requested()) return failed("interrupted");
    const auto into = std::span(buffer).first(std::min(range.length - done, kPiece));
    const Transferred part = read_piece(memory, range.start + done, into, range);
    const bool good = part.status == Errc::none;
    if (!good && done == 0) return failed(part.why);
    if (auto printed = done == 0 ? printer.begin() : Outcome(); !printed) return printed;
    if (auto printed = printer.add(into.first(part.done)); !printed) return printed;
    done += into.size();
    if (good) continue;
    if (auto printed = printer.end(); !printed) return printed;
    return failed(part.why);
  }
  return printer.end();
}

Outcome run_read(Session& session, ReadArgs& options) {
  const Range range = range_of(session, options);
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  const auto space = options.kind.resolve(*vm);
  if (!space) return std::unexpected(space.error());
  GuestBytes memory(*vm, *space);
  if (auto whole = check_all(session, *vm, memory, range); !whole) return whole;
  return print(session, memory, options, range);
}

Run declare_read(CLI::App& app) {
  auto options = std::make_shared<ReadArgs>();
  add_text(app, "GPA", options->gpa, "Address of the first byte: physical, or virtual with --gva");
  add_text(app, "LENGTH", options->length, "How many bytes");
  add_flag(app, "--raw", options->raw, "The bytes themselves");
  add_flag(app, "--json", options->json, "One object {gpa or gva, length, hex}");
  add_text(app, "--pad", options->pad, "Put this byte where there is no memory", "BYTE");
  options->kind.declare(app);
  return [options](Session& session) { return run_read(session, *options); };
}

}  // namespace

const Command kRead{
    .name = "read", .summary = "Print guest memory", .takes_target = true, .declare = declare_read};

}  // namespace microvmi::tool
