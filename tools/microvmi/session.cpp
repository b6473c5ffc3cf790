// SPDX-License-Identifier: Apache-2.0
// Joins command line, TARGET, environment and configuration file, and opens the guest.
#include "session.hpp"

#include <algorithm>
#include <cstdlib>

#include "log.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

namespace fs = std::filesystem;

// As the XDG Base Directory Specification has it: a relative path there does not count.
fs::path default_config() {
  const char* xdg = std::getenv("XDG_CONFIG_HOME");
  if (xdg && fs::path(xdg).is_absolute()) return fs::path(xdg) / "microvmi/config.toml";
  const char* home = std::getenv("HOME");
  return home && *home ? fs::path(home) / ".config/microvmi/config.toml" : fs::path{};
}

// Those of another user, whose home folder was inherited with the environment, are not ours;
// whether there are any cannot even be told.
bool is_out_of_sight(const fs::path& file) {
  std::error_code error;
  static_cast<void>(fs::status(file, error));
  return error == std::errc::permission_denied;
}

bool stands_on_command_line(const Explained& one) {
  return one.origin && !one.values.empty() && one.origin->source <= param::Source::command_line;
}

// Of the guest that is meant. A file may name one too, for the days when none is said.
CommonInitParams named_by_words(const Request& request) {
  CommonInitParams named;
  if (!request.params.common) return named;
  for (const Explained& one : request.sources.explain()) {
    if (!stands_on_command_line(one)) continue;
    if (one.key == "vm-name") named.vm_name = request.params.common->vm_name;
    if (one.key == "pid") named.pid = request.params.common->pid;
  }
  return named;
}

// A name or pid on the command line means a live guest, so that a dump or a device that the
// environment or a file names is not what is opened in its place.
void drop_weaker_images(Request& request) {
  auto& memflow = request.params.memflow;
  if (!memflow || !memflow->selected() || request.target.kind == Target::Kind::url) return;
  const Connector selected = *memflow->selected();
  if (selected != Connector::coredump && selected != Connector::pcileech) return;
  const bool image_named = std::ranges::any_of(request.sources.explain(), [](const Explained& one) {
    return one.key.starts_with("memflow.") && stands_on_command_line(one);
  });
  request.image_dropped = request.named != CommonInitParams{} && !image_named;
  if (request.image_dropped) memflow.reset();
}

// What TARGET was taken for, where it may have been meant as something else.
std::string how_taken(const std::string& target, Target::Kind kind, Errc why) {
  if (kind == Target::Kind::name)
    return "\n'" + target +
           "' was taken for the name of a VM, as it has no slash and no file here has that name";
  const bool is_path = target.starts_with('/') || target.starts_with('.');
  if (kind == Target::Kind::file && !is_path && why == Errc::not_found)
    return "\n'" + target + "' was taken for a file; a VM of that name is --vm-name " +
           shell_word(target);
  return {};
}

// Where nobody said which guest, it is said which one was taken.
void tell_choice(const Request& request, const Vm& vm) {
  const GuestInfo info = vm.info();
  const auto connector = param::Value<Connector>::parse(info.connector.value_or(""));
  const GuestChoice choice = vm.driver_type() == DriverType::memflow && connector
                                 ? guest_choice(request.params, *connector)
                                 : guest_choice(request.params, vm.driver_type());
  if (!info.pid || choice.pid || choice.vm_name) return;
  note("no guest is named; this is process " + std::to_string(*info.pid) +
       (info.vm_name ? " (" + *info.vm_name + ")" : ""));
}

}  // namespace

void Session::wrong(std::string problem) { problems_.push_back(std::move(problem)); }

std::uint64_t Session::number(const char* name, const std::optional<std::string>& text) {
  if (!text) {
    wrong(std::string(name) + " is required");
    return 0;
  }
  const auto size = param::parse_size(*text);
  if (size) return size->bytes;
  wrong(std::string(name) + ' ' +
        (size.error() == "is too large" ? "is too large"
                                        : "expects a number such as 4096, 0x1000 or 4K") +
        ", not '" + *text + "'");
  return 0;
}

std::string Session::new_file(const char* name, const std::optional<std::string>& text) {
  if (!text || text->empty()) wrong(std::string(name) + " is required");
  if (text == "-")
    wrong(std::string(name) +
          " expects a file, as an image is not written from front to back; ./- is one named '-'");
  else if (text && text->starts_with('-'))
    wrong(std::string(name) + " expects a file, not '" + *text + "'; ./" + *text +
          " is one of that name");
  return text.value_or("");
}

void Session::understand_words(Request& request) {
  if (given_.driver) {
    if (const auto driver = param::Value<DriverType>::parse(*given_.driver); driver)
      request.driver = *driver;
    else
      wrong("--driver " + driver.error() + ", not '" + *given_.driver + "'");
  }
  const std::string within = given_.timeout.value_or("");
  if (const auto timeout = param::parse_duration(within); timeout)
    request.timeout = *timeout;
  else
    wrong("--timeout " + timeout.error() + ", not '" + within + "'");
}

void Session::join_target(Request& request) {
  if (!given_.target) return;
  auto target = resolve_target(*given_.target, given_.params);
  if (!target) return wrong(std::move(target.error()));
  request.target = *std::move(target);
  request.sources.append(request.target.params);
  if (request.target.driver && request.driver && request.driver != request.target.driver)
    wrong("TARGET is for driver " + std::string(name_of(*request.target.driver)) +
          ", --driver names " + name_of(*request.driver));
  if (!request.driver) request.driver = request.target.driver;
}

// After all other sources, so that what is wrong together with the file is right without it.
void Session::join_file(Request& request, OwnFile own_file) {
  const fs::path file = given_.config ? fs::path(*given_.config) : default_config();
  if (file.empty() && !given_.config) return;
  if (!given_.config && is_out_of_sight(file))
    return note("no look at " + file.string() + ", which is in a folder closed to this user");
  const bool may_be_wrong = !given_.config && own_file == OwnFile::may_be_wrong;
  auto config = DriverParams::from_file(file);
  if (!config) {
    if (!given_.config && config.error().code == Errc::not_found) return;
    if (!may_be_wrong) return wrong(to_text(config.error()));
    return note(to_text(config.error()) + "; passed over here");
  }
  DriverParams joined = request.sources;
  joined.append(*std::move(config));
  const auto read = joined.read();
  if (!read && may_be_wrong && request.sources.read()) {
    for (const param::Problem& problem : read.error()) note(to_text(problem));
    return note(file.string() + " is passed over here");
  }
  request.sources = std::move(joined);
}

void Session::report(std::vector<param::Problem> problems) {
  for (const auto& problem : wrong_parameters(std::move(problems)).problems)
    wrong(to_text(problem));
}

Outcome Session::verdict() const {
  if (problems_.empty()) return {};
  std::string all;
  for (const std::string& problem : problems_) all += (all.empty() ? "" : "\n") + problem;
  return misused(std::move(all));
}

Outcome Session::check_words() {
  Request ignored;
  understand_words(ignored);
  return verdict();
}

Result<Request> Session::request(OwnFile own_file) {
  Request request;
  understand_words(request);
  request.sources = given_.params;
  join_target(request);
  request.sources.append(DriverParams::from_environment());
  join_file(request, own_file);
  auto params = request.sources.read();
  if (params)
    request.params = *std::move(params);
  else
    report(std::move(params.error()));
  if (auto right = verdict(); !right) return std::unexpected(std::move(right.error()));
  request.named = named_by_words(request);
  drop_weaker_images(request);
  return request;
}

Result<Vm> Session::open(const Request& request) {
  InitOptions options{
      .wait = Wait::at_most(request.timeout), .log = log_sink(), .guard = GuardOptions{}};
  options.wait.stop = stop_;
  auto vm = init(request.driver, request.params, options);
  if (vm) {
    tell_choice(request, *vm);
    return *std::move(vm);
  }
  if (stop_.stop_requested()) return failed("interrupted");
  std::string text = to_text(vm.error());
  if (!vm.error().problems.empty()) return misused(std::move(text));
  if (given_.target) text += how_taken(*given_.target, request.target.kind, vm.error().code);
  return failed(std::move(text));
}

}  // namespace microvmi::tool
