// SPDX-License-Identifier: Apache-2.0
// microvmi dump: the whole memory of a guest into a file.
#include "microvmi/dump.hpp"

#include <fmt/format.h>

#include <functional>

#include "command.hpp"
#include "json.hpp"
#include "losses.hpp"
#include "progress.hpp"
#include "terminal.hpp"
#include "waiting.hpp"

namespace microvmi::tool {
namespace {

struct DumpArgs {
  std::optional<std::string> file;
  std::optional<std::string> format = "elf";
  bool pause = false;
  bool json = false;
  std::optional<std::string> every;
  std::optional<std::string> count;
};

// Several dumps, one each `every`.
struct Plan {
  std::string file;
  ImageFormat format{};
  std::chrono::milliseconds every{};
  std::uint64_t count = 1;
};

constexpr auto kReplace = Json::error_handler_t::replace;

Wait::Clock::time_point later(Wait::Clock::time_point time, std::chrono::milliseconds by) {
  const auto left = Wait::Clock::time_point::max() - time;
  return by < std::chrono::duration_cast<std::chrono::milliseconds>(left)
             ? time + by
             : Wait::Clock::time_point::max();
}

struct DumpResult {
  DumpReport report;
  std::chrono::duration<double> time{};
};

// Writes a dump to the file it is given.
using Write = std::function<std::expected<DumpReport, DumpError>(const std::string& file,
                                                                 const DumpOptions& options)>;

Result<DumpResult> dump_now(Session& session, const Write& write, const std::string& file,
                            ImageFormat format) {
  Progress progress;
  DumpOptions options{.format = format};
  options.wait.stop = session.stop();
  options.progress = [&](const DumpProgress& now) { progress.show(now); };
  const auto start = std::chrono::steady_clock::now();
  auto report = write(file, options);
  if (!report) return failed(report.error());
  return DumpResult{*std::move(report), std::chrono::steady_clock::now() - start};
}

// The guest runs again whatever becomes of the dump.
Result<DumpResult> dump_paused(Session& session, Vm& vm, const Write& write,
                               const std::string& file, ImageFormat format) {
  if (auto paused = vm.pause(); !paused) return failed(paused.error());
  auto result = dump_now(session, write, file, format);
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
          {"reused", report.reused},
          {"first_unreadable", place ? Json(to_integer(*place)) : Json(nullptr)},
          {"vcpus", report.vcpus},
          {"vmcoreinfo", report.vmcoreinfo},
          {"paused", paused},
          {"milliseconds", std::chrono::ceil<std::chrono::milliseconds>(result.time).count()}};
}

Outcome tell(Session& session, const Vm& vm, const DumpResult& result, ImageFormat format,
             const DumpArgs& options) {
  const DumpReport& report = result.report;
  note_losses(vm.info(), report);
  if (options.json) {
    const Json json = to_json(result, format, options.pause);
    return session.out().write(options.every ? json.dump(-1, ' ', false, kReplace) + '\n'
                                             : to_text(json));
  }
  const std::string reused =
      report.reused == 0 ? "" : fmt::format(", {} of it unchanged", human_size(report.reused));
  return session.out().write(fmt::format("wrote {}: {} of guest memory{} as {} in {:.1f} s\n",
                                         printable(report.file.string()), human_size(report.bytes),
                                         reused, microvmi::name_of(format), result.time.count()));
}

// "mem.elf" becomes "mem.07.elf", with as many digits as the last one has.
std::string numbered(const std::string& file, std::uint64_t number, std::uint64_t count) {
  const std::filesystem::path path(file);
  const auto digits = static_cast<int>(std::to_string(count).size());
  std::filesystem::path out = path.parent_path() / path.stem();
  out += fmt::format(".{:0{}}", number, digits);
  out += path.extension();
  return out.string();
}

Result<DumpResult> one_dump(Session& session, Vm& vm, const Write& write, const DumpArgs& options,
                            const std::string& file, ImageFormat format) {
  return options.pause ? dump_paused(session, vm, write, file, format)
                       : dump_now(session, write, file, format);
}

Outcome run_series(Session& session, Vm& vm, const DumpArgs& options, const Plan& plan) {
  auto series = DumpSeries::begin(vm);
  if (!series) return failed(series.error());
  const Write write = [&](const std::string& file, const DumpOptions& how) {
    return series->next(file, how);
  };
  Wait due{.deadline = Wait::Clock::now(), .stop = session.stop()};
  for (std::uint64_t i = 1; i <= plan.count; ++i) {
    if (i != 1) due.deadline = later(due.deadline, plan.every);
    if (!sleep_until(due))
      return failed(fmt::format("interrupted: {} of {} dumps are written", i - 1, plan.count));
    const auto result =
        one_dump(session, vm, write, options, numbered(plan.file, i, plan.count), plan.format);
    if (!result) return std::unexpected(result.error());
    if (auto told = tell(session, vm, *result, plan.format, options); !told) return told;
    if (auto flushed = session.out().flush(); !flushed) return flushed;
  }
  return {};
}

Plan plan_of(Session& session, const DumpArgs& options) {
  Plan plan;
  plan.file = session.new_file("-o FILE", options.file);
  const auto format = param::Value<ImageFormat>::parse(*options.format);
  if (!format) session.wrong("--format " + format.error() + ", not '" + *options.format + "'");
  plan.format = format.value_or(ImageFormat::elf);
  if (options.every.has_value() != options.count.has_value())
    session.wrong("--every TIME and --count N go together");
  if (options.every) plan.every = seconds_of(session, "--every", *options.every);
  if (options.count) plan.count = session.number("--count", options.count);
  constexpr std::uint64_t kMost = 1'000'000;
  if (options.count && (plan.count == 0 || plan.count > kMost))
    session.wrong(fmt::format("--count expects 1 to {}, not '{}'", kMost, *options.count));
  return plan;
}

Outcome run_dump(Session& session, const DumpArgs& options) {
  const Plan plan = plan_of(session, options);
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  if (options.every) return run_series(session, *vm, options, plan);
  const Write write = [&](const std::string& file, const DumpOptions& how) {
    return dump(*vm, file, how);
  };
  const auto result = one_dump(session, *vm, write, options, plan.file, plan.format);
  if (!result) return std::unexpected(result.error());
  return tell(session, *vm, *result, plan.format, options);
}

Run declare_dump(CLI::App& app) {
  auto options = std::make_shared<DumpArgs>();
  add_text(app, "-o,--output", options->file, "Where to; a file there is replaced in the end",
           "FILE");
  add_text(app, "--format", options->format,
           "elf (the default) and the others leave holes out; raw is sparse",
           "elf|raw|lime|kdump-zlib|kdump-zstd");
  add_flag(app, "--pause", options->pause,
           "Pause the guest meanwhile, guarded against our own end");
  add_text(app, "--every", options->every,
           "Dump again after this time, reading what was written since; FILE gets numbers", "TIME");
  add_text(app, "--count", options->count, "So many dumps, with --every", "N");
  add_flag(app, "--json", options->json,
           "One object {file, format, bytes, file_size, padded, unreadable, reused, "
           "first_unreadable, vcpus, vmcoreinfo, paused, milliseconds}; with --every one a line");
  return [options](Session& session) { return run_dump(session, *options); };
}

}  // namespace

const Command kDump{.name = "dump",
                    .summary = "Write all of a guest's memory to a file",
                    .takes_target = true,
                    .declare = declare_dump};

}  // namespace microvmi::tool
