// SPDX-License-Identifier: Apache-2.0
// From the map to the finished file: lay out, write headers, transfer, correct headers, rename.
#include "microvmi/dump.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "dump/elf.hpp"
#include "dump/native.hpp"
#include "dump/transfer.hpp"

namespace microvmi {
namespace {

using dumper::Layout;
using dumper::Outcome;
using dumper::PartialFile;
using dumper::Piece;

constexpr std::uint64_t kNoteSize = 4096;  // room for it, in the headers
constexpr std::size_t kNamedGaps = 32;     // as many as surely fit there; the rest is a sum

std::uint64_t sum(const std::vector<Piece>& pieces) {
  return std::transform_reduce(pieces.begin(), pieces.end(), std::uint64_t{0}, std::plus{},
                               [](const Piece& piece) { return piece.size; });
}

// Where the dump is from, as JSON. A name that is longer than any sensible one is cut.
std::string note_of(const Vm& vm, const Outcome& outcome) {
  constexpr std::size_t kLongestName = 256;
  const GuestInfo info = vm.info();
  nlohmann::json note{{"writer", "microvmi " MICROVMI_VERSION},
                      {"driver", name_of(vm.driver_type())}};
  if (info.connector) note["connector"] = *info.connector;
  if (info.vm_name) note["vm_name"] = info.vm_name->substr(0, kLongestName);
  if (info.pid) note["pid"] = *info.pid;
  if (info.vcpus) note["vcpus"] = *info.vcpus;
  if (!outcome.gone.empty()) {
    note["unreadable"] = sum(outcome.gone);
    nlohmann::json& ranges = note["unreadable_ranges"] = nlohmann::json::array();
    for (const Piece& gap : outcome.gone) {
      if (ranges.size() == kNamedGaps) break;
      ranges.push_back({to_integer(gap.gpa), gap.size});
    }
  }
  return note.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string architecture_of(const Vm& vm) {
  for (const Fact& fact : vm.info().facts)
    if (const auto* text = std::get_if<std::string>(&fact.value);
        text && fact.name == "architecture")
      return *text;
  return {};
}

class Dump {
 public:
  Dump(Vm& vm, const DumpOptions& options, Layout layout, PartialFile file)
      : vm_(vm), options_(options), layout_(std::move(layout)), file_(std::move(file)) {}

  std::expected<DumpReport, DumpError> run(const std::filesystem::path& file) {
    const dumper::NoFileSizeSignal quiet;
    if (auto done = write_headers(layout_.pieces); !done) return failed(std::move(done.error()));
    outcome_ = dumper::transfer(vm_.memory(), layout_, file_, options_);
    if (outcome_.error) return failed(*std::move(outcome_.error));
    if (!outcome_.gone.empty())
      if (auto done = write_headers(outcome_.pieces); !done) return failed(std::move(done.error()));
    if (auto done = file_.commit(layout_.file_size, options_.sync); !done)
      return failed(std::move(done.error()));
    return report(file);
  }

 private:
  Expected<void> write_headers(const std::vector<Piece>& pieces) {
    if (options_.format == ImageFormat::raw) return {};
    for (const dumper::Patch& patch :
         dumper::elf_headers(pieces, note_of(vm_, outcome_), layout_.header_size, layout_.file_size,
                             dumper::elf_machine(architecture_of(vm_)))) {
      if (const auto why = file_.write(patch.bytes, patch.offset))
        return std::unexpected(file_.failed("write", why));
      layout_.file_size = std::max(layout_.file_size, patch.offset + patch.bytes.size());
    }
    return {};
  }

  DumpReport report(const std::filesystem::path& file) const {
    DumpReport out{.file = file, .bytes = sum(outcome_.pieces), .file_size = layout_.file_size};
    out.unreadable = sum(outcome_.gone);
    if (!outcome_.gone.empty()) out.first_unreadable = outcome_.gone.front().gpa;
    if (options_.format == ImageFormat::raw) out.padded = out.file_size - out.bytes;
    return out;
  }

  std::unexpected<DumpError> failed(Error why) const {
    why.message += fmt::format("; '{}' holds the guest's memory below {:#x}", file_.path().string(),
                               to_integer(outcome_.reached));
    return std::unexpected(DumpError{std::move(why), file_.path(), outcome_.reached});
  }

  Vm& vm_;
  const DumpOptions& options_;
  Layout layout_;
  PartialFile file_;
  Outcome outcome_{};
};

}  // namespace

std::expected<DumpReport, DumpError> dump(Vm& vm, const std::filesystem::path& file,
                                          const DumpOptions& options) {
  auto layout = dumper::lay_out(*vm.memory().map(), options.format, kNoteSize);
  if (!layout) return std::unexpected(DumpError{std::move(layout.error())});
  if (layout->total == 0)
    return std::unexpected(
        DumpError{{.code = Errc::not_found, .message = "the guest has no memory to dump"}});
  auto partial = PartialFile::create(file);
  if (!partial) return std::unexpected(DumpError{std::move(partial.error())});
  return Dump(vm, options, *std::move(layout), *std::move(partial)).run(file);
}

}  // namespace microvmi
