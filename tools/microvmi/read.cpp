// SPDX-License-Identifier: Apache-2.0
// microvmi read: guest memory as a hex view, as bytes or as JSON, of any length.
#include <fmt/format.h>

#include <algorithm>

#include "command.hpp"
#include "hex_view.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr std::uint64_t kPiece = 1ULL << 20;  // read and printed at a time

struct Options {
  std::optional<std::string> gpa;
  std::optional<std::string> length;
  std::optional<std::string> pad;
  bool raw = false;
  bool json = false;
};

struct Range {
  Gpa gpa{};
  std::uint64_t length = 0;
  std::optional<std::byte> pad{};
};

Range range_of(Session& session, const Options& options) {
  Range range{.gpa = Gpa{session.number("GPA", options.gpa)},
              .length = session.number("LENGTH", options.length)};
  if (range.length == 0 && param::parse_size(options.length.value_or("")))
    session.wrong("LENGTH expects at least 1");
  if (range.length != 0 && to_integer(range.gpa) + (range.length - 1) < to_integer(range.gpa))
    session.wrong("GPA and LENGTH run past the last address there is");
  if (options.pad) {
    const std::uint64_t byte = session.number("--pad", options.pad);
    if (byte > 0xff) session.wrong("--pad expects a byte, not '" + *options.pad + "'");
    range.pad = static_cast<std::byte>(byte);
  }
  if (options.raw && options.json) session.wrong("--raw excludes --json");
  return range;
}

// Told before anything is printed, where the map is certain; a change meanwhile is told later.
Outcome check_holes(const MemoryMap& map, const Range& range) {
  if (!map.exact || range.pad) return {};
  std::uint64_t left = range.length;
  for (Gpa at = range.gpa; left != 0;) {
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
      : out_(out), options_(options), range_(range), view_(to_integer(range.gpa)) {}

  Outcome begin() {
    if (!options_.json) return {};
    return out_.write(fmt::format("{{\n \"gpa\": {},\n \"length\": {},\n \"hex\": \"",
                                  to_integer(range_.gpa), range_.length));
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
Outcome read_piece(const Vm& vm, Gpa gpa, std::span<std::byte> into, const Range& range,
                   Printer& printer) {
  if (range.pad) {
    const auto padded = vm.memory().read_padded(gpa, into, *range.pad);
    return padded ? printer.add(into) : failed(padded.error());
  }
  std::array batch{ReadRequest{.gpa = gpa, .into = into}};
  vm.memory().read(batch);
  if (batch[0].status == Errc::none) return printer.add(into);
  if (auto printed = printer.add(into.first(batch[0].done)); !printed) return printed;
  if (auto printed = printer.end(); !printed) return printed;
  return failed(fmt::format("{}: cannot read guest memory at {}",
                            microvmi::name_of(batch[0].status),
                            hex(to_integer(batch[0].failed_at))));
}

Outcome run(Session& session, const Options& options) {
  const Range range = range_of(session, options);
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  if (auto whole = check_holes(*vm->memory().map(), range); !whole) return whole;
  Printer printer(session.out(), options, range);
  if (auto begun = printer.begin(); !begun) return begun;
  std::vector<std::byte> buffer(std::min(range.length, kPiece));
  for (std::uint64_t done = 0; done != range.length;) {
    if (session.stop().stop_requested()) return failed("interrupted");
    const auto into = std::span(buffer).first(std::min(range.length - done, kPiece));
    if (auto read = read_piece(*vm, range.gpa + done, into, range, printer); !read) return read;
    done += into.size();
  }
  return printer.end();
}

Run declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_text(app, "GPA", options->gpa, "Guest physical address of the first byte");
  add_text(app, "LENGTH", options->length, "How many bytes");
  app.add_flag("--raw", options->raw, "The bytes themselves");
  app.add_flag("--json", options->json, "One object {gpa, length, hex}");
  add_text(app, "--pad", options->pad, "Put this byte where there is no memory")
      ->option_text("BYTE");
  return [options](Session& session) { return run(session, *options); };
}

}  // namespace

const Command kRead{
    .name = "read", .summary = "Print guest memory", .takes_target = true, .declare = declare};

}  // namespace microvmi::tool
