// SPDX-License-Identifier: Apache-2.0
// microvmi convert: a memory image into another format.
#include <fmt/format.h>

#include <algorithm>

#include "command.hpp"
#include "json.hpp"
#include "losses.hpp"
#include "microvmi/dump.hpp"
#include "progress.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr const char* kFormats = "elf|raw|lime|kdump-zlib|kdump-zstd";
constexpr std::uint64_t kAtOnce = 4 << 20;  // compared at once

struct ConvertArgs {
  std::optional<std::string> in;
  std::optional<std::string> out;
  std::optional<std::string> format = "elf";
  bool verify = false;
  bool json = false;
};

struct Converted {
  DumpReport report;
  bool is_verified = false;
};

Json to_json(const Converted& result, ImageFormat format) {
  const DumpReport& report = result.report;
  return {{"file", report.file.string()},  {"format", microvmi::name_of(format)},
          {"bytes", report.bytes},         {"file_size", report.file_size},
          {"padded", report.padded},       {"unreadable", report.unreadable},
          {"vcpus", report.vcpus},         {"vmcoreinfo", report.vmcoreinfo},
          {"verified", result.is_verified}};
}

// What one of them says of this memory: the bytes, and as far as what.
std::pair<std::uint64_t, Errc> read(const Vm& vm, Gpa gpa, std::span<std::byte> into) {
  std::array batch{ReadRequest{.gpa = gpa, .into = into}};
  vm.memory().read(batch);
  return {batch[0].done, batch[0].status};
}

// What of it the format has a place for.
std::vector<MemoryRegion> regions_of(const MemoryMap& map, ImageFormat format) {
  std::vector<MemoryRegion> out = map.regions;
  if (!has_firmware(format))
    std::erase_if(out, [&map](const auto& one) { return one.gpa >= map.end_of_memory(); });
  return out;
}

// Every byte of them, and no byte more. Where both have a hole they agree.
Result<void> compare(const Vm& in, const Vm& out, const std::vector<MemoryRegion>& regions,
                     const std::stop_token& stop) {
  std::vector<std::byte> ours(kAtOnce);
  std::vector<std::byte> theirs(kAtOnce);
  Progress progress;
  DumpProgress now;
  for (const MemoryRegion& region : regions) now.total += region.size;
  for (const MemoryRegion& region : regions)
    for (std::uint64_t done = 0; done < region.size;) {
      if (stop.stop_requested()) return failed("the comparison was ended");
      const std::uint64_t size = std::min(region.size - done, kAtOnce);
      const Gpa gpa = region.gpa + done;
      const auto [got, why] = read(in, gpa, std::span(ours).first(size));
      const auto [again, why_again] = read(out, gpa, std::span(theirs).first(size));
      const auto same = std::mismatch(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(got),
                                      theirs.begin())
                            .first -
                        ours.begin();
      const auto place = gpa + static_cast<std::uint64_t>(same);
      if (got != again || why != why_again || static_cast<std::uint64_t>(same) != got)
        return failed(fmt::format("the images differ at or behind {}", hex(to_integer(place))));
      done += std::max(got, why == Errc::none ? size : (got / kPageSize + 1) * kPageSize);
      now.done += size;
      now.at = gpa + size;
      progress.show(now);
    }
  return {};
}

Result<void> verify(Session& session, const Vm& in, const std::string& file, ImageFormat format) {
  CoredumpParams params{.filepath = file};
  if (format == ImageFormat::raw) params.format = DumpFormat::raw;  // has nothing to know it by
  InitOptions options;
  options.wait.stop = session.stop();
  const auto out =
      init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}}, options);
  if (!out) return failed("the new image does not open: " + microvmi::to_text(out.error()));
  return compare(in, *out, regions_of(*in.memory().map(), format), session.stop());
}

Result<Converted> convert(Session& session, Vm& vm, const std::string& file, bool check,
                          ImageFormat format) {
  DumpOptions how{.format = format};
  how.wait.stop = session.stop();
  Converted result;
  {
    Progress progress;
    how.progress = [&](const DumpProgress& now) { progress.show(now); };
    auto report = dump(vm, file, how);
    if (!report) return failed(report.error());
    result.report = *std::move(report);
  }
  if (!check) return result;
  if (auto same = verify(session, vm, file, format); !same) return std::unexpected(same.error());
  result.is_verified = true;
  return result;
}

Outcome run_convert(Session& session, const ConvertArgs& options) {
  if (!options.in || options.in->empty()) session.wrong("IN is required");
  const std::string file = session.new_file("OUT", options.out);
  const auto format = param::Value<ImageFormat>::parse(*options.format);
  if (!format) session.wrong("--format " + format.error() + ", not '" + *options.format + "'");
  if (options.in) session.take_image(*options.in);
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  const auto result = convert(session, *vm, file, options.verify, *format);
  if (!result) return std::unexpected(result.error());
  note_losses(vm->info(), result->report);
  if (options.json) return session.out().write(to_text(to_json(*result, *format)));
  return session.out().write(
      fmt::format("wrote {}: {} of guest memory as {}, a file of {}{}\n",
                  printable(result->report.file.string()), human_size(result->report.bytes),
                  microvmi::name_of(*format), human_size(result->report.file_size),
                  result->is_verified ? ", and read it again" : ""));
}

Run declare_convert(CLI::App& app) {
  auto options = std::make_shared<ConvertArgs>();
  add_text(app, "IN", options->in, "The image to read; a file, or a vmi:// URL");
  add_text(app, "OUT", options->out, "Where to; a file there is replaced in the end");
  add_text(app, "--format", options->format,
           "elf (the default) and the others leave holes out; raw is sparse", kFormats);
  add_flag(app, "--verify", options->verify, "Read the new image and compare every byte");
  add_flag(app, "--json", options->json,
           "One object {file, format, bytes, file_size, padded, unreadable, vcpus, vmcoreinfo, "
           "verified}");
  return [options](Session& session) { return run_convert(session, *options); };
}

}  // namespace

const Command kConvert{.name = "convert",
                       .summary = "Write a memory image in another format",
                       .takes_target = false,
                       .declare = declare_convert};

}  // namespace microvmi::tool
