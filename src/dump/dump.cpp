// SPDX-License-Identifier: Apache-2.0
// From the map to the finished file: lay out, write headers, transfer, correct headers, rename.
#include "microvmi/dump.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "dump/elf.hpp"
#include "dump/guest_state.hpp"
#include "dump/native.hpp"
#include "dump/packer.hpp"
#include "dump/transfer.hpp"

namespace microvmi {
namespace {

using dumper::Layout;
using dumper::Outcome;
using dumper::PartialFile;
using dumper::Piece;

constexpr std::uint64_t kOwnNote = 4096;  // room for our own note without unknown registers
constexpr std::size_t kNamedGaps = 32;    // as many as surely fit there; the rest is a sum

std::uint64_t sum(const std::vector<Piece>& pieces) {
  return std::transform_reduce(pieces.begin(), pieces.end(), std::uint64_t{0}, std::plus{},
                               [](const Piece& piece) { return piece.size; });
}

// Where the dump is from, as JSON. A name that is longer than any sensible one is cut.
// [{first, count, names}], as src/connector/coredump/elf_notes.cpp reads it.
nlohmann::json unknown_of(const dumper::GuestState& state) {
  nlohmann::json out = nlohmann::json::array();
  for (const dumper::UnknownRegisters& some : dumper::unknown_registers(state)) {
    nlohmann::json names = nlohmann::json::array();
    for (const RegisterInfo& info : kRegisters)
      if (some.mask[static_cast<std::size_t>(info.reg)]) names.push_back(info.name);
    out.push_back({{"first", some.first}, {"count", some.count}, {"names", std::move(names)}});
  }
  return out;
}

std::string note_of(const Vm& vm, const Outcome& outcome, const dumper::GuestState& state) {
  constexpr std::size_t kLongestName = 256;
  const GuestInfo info = vm.info();
  nlohmann::json note{{"writer", "microvmi " MICROVMI_VERSION},
                      {"driver", name_of(vm.driver_type())}};
  if (info.connector) note["connector"] = *info.connector;
  if (info.vm_name) note["vm_name"] = info.vm_name->substr(0, kLongestName);
  if (info.pid) note["pid"] = *info.pid;
  if (info.vcpus) note["vcpus"] = *info.vcpus;
  if (auto unknown = unknown_of(state); !unknown.empty())
    note["unknown_registers"] = std::move(unknown);
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
  Dump(Vm& vm, const DumpOptions& options, dumper::StateRead read)
      : vm_(vm), options_(options), read_(std::move(read)) {}

  std::expected<DumpReport, DumpError> run(const std::filesystem::path& file) {
    const dumper::NoFileSizeSignal quiet;
    if (auto done = prepare(file); !done)
      return std::unexpected(DumpError{std::move(done.error())});
    if (auto done = write_headers(layout_.pieces, false); !done)
      return failed(std::move(done.error()));
    dumper::VmcoreinfoSearch search;
    const bool wants_search = has_notes() && !read_.state.vmcoreinfo;
    outcome_ =
        dumper::transfer(vm_.memory(), layout_, *file_, options_,
                         {.packer = packer_.get(), .search = wants_search ? &search : nullptr});
    if (search.found()) read_.state.vmcoreinfo = search.found();
    if (outcome_.error) {
      // Without the bitmap of what is there nobody could read a compressed dump that is not whole.
      // The error that ended it says more than one of this.
      if (packer_) static_cast<void>(write_headers(outcome_.pieces, false));
      return failed(*std::move(outcome_.error));
    }
    if (packer_ || !outcome_.gone.empty() || search.found())
      if (auto done = write_headers(outcome_.pieces, true); !done)
        return failed(std::move(done.error()));
    if (packer_) layout_.file_size = packer_->file_size();
    if (auto done = file_->commit(layout_.file_size, options_.sync); !done)
      return failed(std::move(done.error()));
    return report(file);
  }

 private:
  [[nodiscard]] bool has_notes() const {
    return options_.format != ImageFormat::raw && options_.format != ImageFormat::lime;
  }

  Expected<void> prepare(const std::filesystem::path& file) {
    const auto map = vm_.memory().map();
    const std::uint64_t note_size =
        dumper::most_note_bytes(read_.state, kOwnNote + unknown_of(read_.state).dump().size());
    auto layout = dumper::lay_out(*map, options_.format, note_size);
    if (!layout) return std::unexpected(std::move(layout.error()));
    layout_ = *std::move(layout);
    if (layout_.total == 0) return fail(Errc::not_found, "the guest has no memory to dump");
    if (auto can = dumper::check_format(options_.format, *map); !can) return can;
    auto partial = PartialFile::create(file);
    if (!partial) return std::unexpected(std::move(partial.error()));
    file_ = std::make_unique<PartialFile>(*std::move(partial));
    packer_ = dumper::make_packer(options_.format, *map, *file_, note_size);
    return {};
  }

  Expected<void> write_headers(const std::vector<Piece>& pieces, bool is_over) {
    if (options_.format == ImageFormat::raw) return {};
    const dumper::Notes notes =
        dumper::make_notes(read_.state, note_of(vm_, outcome_, read_.state));
    const std::string architecture = architecture_of(vm_);
    if (packer_) {
      const dumper::Told told{notes, read_.state, architecture.empty() ? "x86_64" : architecture};
      const auto why = is_over ? packer_->finish(told) : packer_->begin(told);
      return why ? Expected<void>(std::unexpected(file_->failed("write", why))) : Expected<void>();
    }
    for (const dumper::Patch& patch :
         dumper::elf_headers(pieces, notes.bytes, layout_.header_size, layout_.file_size,
                             dumper::elf_machine(architecture))) {
      if (const auto why = file_->write(patch.bytes, patch.offset))
        return std::unexpected(file_->failed("write", why));
      layout_.file_size = std::max(layout_.file_size, patch.offset + patch.bytes.size());
    }
    return {};
  }

  DumpReport report(const std::filesystem::path& file) const {
    DumpReport out{.file = file, .bytes = sum(outcome_.pieces), .file_size = layout_.file_size};
    out.unreadable = sum(outcome_.gone);
    if (!outcome_.gone.empty()) out.first_unreadable = outcome_.gone.front().gpa;
    if (options_.format == ImageFormat::raw) out.padded = out.file_size - out.bytes;
    if (!has_notes()) return out;
    out.vcpus = static_cast<std::uint32_t>(read_.state.vcpus.size());
    out.no_registers = read_.no_registers;
    out.vmcoreinfo = read_.state.vmcoreinfo.has_value();
    return out;
  }

  std::unexpected<DumpError> failed(Error why) const {
    why.message += fmt::format("; '{}' holds the guest's memory below {:#x}",
                               file_->path().string(), to_integer(outcome_.reached));
    return std::unexpected(DumpError{std::move(why), file_->path(), outcome_.reached});
  }

  Vm& vm_;
  const DumpOptions& options_;
  dumper::StateRead read_;
  Layout layout_{};
  std::unique_ptr<PartialFile> file_{};
  std::unique_ptr<dumper::Packer> packer_{};  // null where places are known beforehand
  Outcome outcome_{};
};

}  // namespace

std::expected<DumpReport, DumpError> dump(Vm& vm, const std::filesystem::path& file,
                                          const DumpOptions& options) {
  dumper::StateRead read;
  if (options.format != ImageFormat::raw && options.format != ImageFormat::lime)
    read = dumper::read_state(vm);
  return Dump(vm, options, std::move(read)).run(file);
}

}  // namespace microvmi
