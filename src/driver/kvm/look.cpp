// SPDX-License-Identifier: Apache-2.0
// -object introspection,chardev=ID and the -chardev that it names.
#include "driver/kvm/look.hpp"

#include "host/linux/proc.hpp"
#include "qemu/command_line.hpp"

namespace microvmi::kvm {
namespace {

// The values of one option, as "-option" or "--option".
template <class Take>
void for_each(std::span<const std::string> argv, std::string_view option, Take take) {
  for (std::size_t i = 0; i + 1 < argv.size(); ++i) {
    const std::string_view word = argv[i];
    const bool is_it = word.starts_with('-') &&
                       (word.substr(1) == option || (word[1] == '-' && word.substr(2) == option));
    if (is_it) take(argv[i + 1]);
  }
}

std::optional<std::string> chardev_of_object(std::span<const std::string> argv) {
  std::optional<std::string> found;
  for_each(argv, "object", [&found](const std::string& value) {
    const auto options = qemu::Options::parse(value, "qom-type");
    if (options && options->get("qom-type") == "introspection") found = options->text("chardev");
  });
  return found;
}

}  // namespace

std::optional<Introspectable> introspection_of(std::span<const std::string> argv) {
  const auto chardev = chardev_of_object(argv);
  if (!chardev) return std::nullopt;
  Introspectable out{.name = qemu::parse_command_line(argv).name};
  for_each(argv, "chardev", [&](const std::string& value) {
    const auto options = qemu::Options::parse(value, "backend");
    if (options && options->get("id") == *chardev) out.path = options->text("path");
  });
  return out;
}

std::vector<Introspectable> introspectable() {
  std::vector<Introspectable> out;
  const auto pids = host::pids();
  if (!pids) return out;
  for (const std::uint32_t pid : *pids) {
    const auto argv = host::argv_of(pid);
    if (!argv) continue;
    if (auto one = introspection_of(*argv)) {
      one->pid = pid;
      out.push_back(*std::move(one));
    }
  }
  return out;
}

}  // namespace microvmi::kvm
