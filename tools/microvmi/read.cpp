// SPDX-License-Identifier: Apache-2.0
// microvmi read: guest memory as a hex view, as bytes or as JSON, of any length.
#include <fmt/format.h>

#include <algorithm>

#include "command.hpp"
#include "guest_bytes.hpp"
#include "hex_view.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr std::uint64_t kPiece = 1ULL << 20;  // read and printed at a time

struct Options {
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

Range range_of(Session& session, Options& options) {
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

// Told before anything is printed, where the map is certain; a change meanwhile is told later.
Outcome check_holes(const MemoryMap& map, const Range& range) {
  if (!map.exact || range.pad) return {};
  std::uint64_t left = range.length;
  for (Gpa at{range.start}; left != 0;) {
    const MemoryRegion* region = map.find(at);
    if (!region)
      return failed(fmt::format("hole: there is no memory at {} (--pad BYTE reads past it)",
                                hex(to_integer(at))));
    const std::uint64_t size = std::min(left, region->end() - at);
    at = at + size;
    left -= size;
  }
  return {};
}

class Printer {
 public:
  Printer(Output& out, const Options& options, const Range& range)
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
  const Options& options_;
  const Range& range_;
  HexView view_;
};

// The part before a hole is printed too, and then the hole makes it a failure.
Outcome read_piece(GuestBytes& memory, std::uint64_t address, std::span<std::byte> into,
                   const Range& range, Printer& printer) {
  const Transferred part =
      range.pad ? memory.read_padded(address, into, *range.pad) : memory.read(address, into);
  if (auto printed = printer.add(into.first(part.done)); !printed) return printed;
  if (part.status == Errc::none) return {};
  if (auto printed = printer.end(); !printed) return printed;
  return failed(part.why);
}

Outcome print(Session& session, GuestBytes& memory, const Options& options, const Range& range) {
  Printer printer(session.out(), options, range);
  if (auto begun = printer.begin(); !begun) return begun;
  std::vector<std::byte> buffer(std::min(range.length, kPiece));
  for (std::uint64_t done = 0; done != range.length;) {
    if (session.stop().stop_requested()) return failed("interrupted");
    const auto into = std::span(buffer).first(std::min(range.length - done, kPiece));
    if (auto read = read_piece(memory, range.start + done, into, range, printer); !read)
      return read;
    done += into.size();
  }
  return printer.end();
}

Outcome run(Session& session, Options& options) {
  const Range range = range_of(session, options);
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  const auto space = options.kind.resolve(*vm);
  if (!space) return std::unexpected(space.error());
  GuestBytes memory(*vm, *space);
  if (!memory.is_virtual())
    if (auto whole = check_holes(*vm->memory().map(), range); !whole) return whole;
  return print(session, memory, options, range);
}

Run declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_text(app, "GPA", options->gpa, "Address of the first byte: physical, or virtual with --gva");
  add_text(app, "LENGTH", options->length, "How many bytes");
  app.add_flag("--raw", options->raw, "The bytes themselves");
  app.add_flag("--json", options->json, "One object {gpa or gva, length, hex}");
  add_text(app, "--pad", options->pad, "Put this byte where there is no memory")
      ->option_text("BYTE");
  options->kind.declare(app);
  return [options](Session& session) { return run(session, *options); };
}

}  // namespace

const Command kRead{
    .name = "read", .summary = "Print guest memory", .takes_target = true, .declare = declare};

}  // namespace microvmi::tool
