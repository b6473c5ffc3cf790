// SPDX-License-Identifier: Apache-2.0
// One word into parameters.
#include "target.hpp"

#include <algorithm>

#include "microvmi/registry.hpp"

namespace microvmi::tool {
namespace {

const param::Origin kPlace{param::Source::command_line, "TARGET"};

struct Readings {
  bool file;
  bool pid;
  bool name;
};

bool is_name_of_a_guest(const std::string& text) {
  return std::ranges::any_of(scan({.ask_monitors = false}),
                             [&](const Found& found) { return found.vm_name == text; });
}

Readings readings_of(const std::string& text) {
  std::error_code ec;
  Readings all{.file = std::filesystem::is_regular_file(text, ec),
               .pid = text.find_first_not_of("0123456789") == std::string::npos,
               .name = false};
  // A name is what remains; it is only looked for where it would contradict.
  // A device, a FIFO or a link that leads nowhere is meant as a file too, and refused as one.
  const bool odd = !all.file && !all.pid && exists(std::filesystem::symlink_status(text, ec)) &&
                   !std::filesystem::is_directory(text, ec);
  all.name = (!all.file && !all.pid && !odd) || is_name_of_a_guest(text);
  if (odd && !all.name) all.file = true;
  return all;
}

std::string ambiguous(const std::string& text, const Readings& all) {
  std::string meanings;
  const auto add = [&](bool is, const std::string& meaning, const std::string& how) {
    if (is) meanings += (meanings.empty() ? "" : " or ") + meaning + " (" + how + ")";
  };
  add(all.file, "a file", "./" + text);
  add(all.pid, "a process", "--pid " + text);
  add(all.name, "a VM", "--vm-name " + text);
  return "TARGET '" + text + "' may mean " + meanings + "; write what stands in brackets";
}

std::expected<Target, std::string> url(const std::string& text) {
  auto read = DriverParams::from_url(text);
  if (!read) return std::unexpected("TARGET '" + text + "': " + to_text(read.error()));
  return Target{Target::Kind::url, read->driver, std::move(read->params)};
}

Target file(const std::string& text) {
  Target out{.kind = Target::Kind::file, .driver = DriverType::memflow};
  out.params.insert("memflow.coredump.filepath", text, kPlace);
  return out;
}

bool gives(const DriverParams& options, std::string_view key) {
  return std::ranges::any_of(options.settings(), [key](const param::Setting& one) {
    return param::same_key(one.key, key);
  });
}

}  // namespace

std::expected<Target, std::string> resolve_target(const std::string& text,
                                                  const DriverParams& options) {
  if (text.empty()) return std::unexpected("TARGET is empty");
  if (text.contains("://")) return url(text);
  const Readings all =
      text.contains('/') ? Readings{.file = true, .pid = false, .name = false} : readings_of(text);
  if (all.file + all.pid + all.name > 1) return std::unexpected(ambiguous(text, all));
  for (const char* key : {"pid", "vm-name"})
    if (all.file && gives(options, key))
      return std::unexpected("TARGET '" + text + "' is a file, and --" + key + " names a guest");
  if (all.file) return file(text);
  Target out{.kind = all.pid ? Target::Kind::pid : Target::Kind::name};
  out.params.insert(all.pid ? "pid" : "vm-name", text, kPlace);
  return out;
}

}  // namespace microvmi::tool
