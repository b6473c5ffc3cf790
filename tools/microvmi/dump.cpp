// SPDX-License-Identifier: Apache-2.0
// microvmi dump: the whole memory of a guest into a file.
#include "microvmi/dump.hpp"

#include <fmt/format.h>
#include "command.hpp"
#include "json.hpp"
#include "losses.hpp"
#include "progress.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

struct Options {
  std::optional<std::string> file;
  std::string format = "elf";
  bool pause = false;
  bool json = false;
};

struct DumpResult {
  DumpReport report;
  std::chrono::duration<double> time{};
};

Result<DumpResult> dump_now(Session& session, Vm& vm, const std::string& file, ImageFormat format) {
  Progress progress;
  DumpOptions options{.format = format};
  options.wait.stop = session.stop();
  options.progress = [&](const DumpProgress& now) { progress.show(now); };
  const auto start = std::chrono::steady_clock::now();
  auto report = dump(vm, file, options);
  if (!report) return failed(report.error());
  return DumpResult{*std::move(report), std::chrono::steady_clock::now() - start};
}

// The guest runs again whatever becomes of the dump.
Result<DumpResult> dump_paused(Session& session, Vm& vm, const std::string& file,
                               ImageFormat format) {
  if (auto paused = vm.pause(); !paused) return failed(paused.error());
  auto result = dump_now(session, vm, file, format);
  if (auto resumed = vm.resume(); !resumed)
    return failed((result ? std::string() : result.error().text + '\n') +
                  "the guest may still be paused: " + microvmi::to_text(resumed.error()));
  return result;
}

Json to_json(const DumpResult& result, ImageFormat format, bool paused) {
  const DumpReport& report = result.report;
  const auto place = report.first_unreadable;
  return {{"file", report.file.string()},
          {"format", microvmi::name_of(format)},
          {"bytes", report.bytes},
          {"file_size", report.file_size},
          {"padded", report.padded},
          {"unreadable", report.unreadable},
          {"first_unreadable", place ? Json(to_integer(*place)) : Json(nullptr)},
          {"vcpus", report.vcpus},
          {"vmcoreinfo", report.vmcoreinfo},
          {"paused", paused},
          {"milliseconds", std::chrono::ceil<std::chrono::milliseconds>(result.time).count()}};
}

Outcome run(Session& session, const Options& options) {
  if (!options.file || options.file->empty()) session.wrong("-o FILE is required");
  const auto format = param::Value<ImageFormat>::parse(options.format);
  if (!format) session.wrong("--format " + format.error() + ", not '" + options.format + "'");
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request, options.pause);
  if (!vm) return std::unexpected(std::move(vm.error()));
  const auto result = options.pause ? dump_paused(session, *vm, *options.file, *format)
                                    : dump_now(session, *vm, *options.file, *format);
  if (!result) return std::unexpected(result.error());
  const DumpReport& report = result->report;
  note_losses(vm->info(), report);
  if (options.json) return session.out().write(to_text(to_json(*result, *format, options.pause)));
  return session.out().write(fmt::format("wrote {}: {} of guest memory as {} in {:.1f} s\n",
                                         printable(report.file.string()), human_size(report.bytes),
                                         microvmi::name_of(*format), result->time.count()));
}

Run declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_text(app, "-o,--output", options->file, "Where to; a file there is replaced in the end")
      ->option_text("FILE");
  app.add_option("--format", options->format,
                 "elf (the default) and the others leave holes out; raw is sparse")
      ->option_text("elf|raw|lime|kdump-zlib|kdump-zstd");
  app.add_flag("--pause", options->pause, "Pause the guest meanwhile, guarded against our own end");
  app.add_flag("--json", options->json,
               "One object {file, format, bytes, file_size, padded, unreadable, first_unreadable, "
               "vcpus, vmcoreinfo, paused, milliseconds}");
  return [options](Session& session) { return run(session, *options); };
}

}  // namespace

const Command kDump{.name = "dump",
                    .summary = "Write all of a guest's memory to a file",
                    .takes_target = true,
                    .declare = declare};

}  // namespace microvmi::tool
