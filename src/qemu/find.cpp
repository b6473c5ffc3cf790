// SPDX-License-Identifier: Apache-2.0
// Going through /proc, and the rules that tell a QEMU from what only looks like one.
#include "qemu/find.hpp"

#include <algorithm>
#include <array>

#include "host/linux/proc.hpp"
#include "qemu/placement.hpp"

namespace microvmi::qemu {
namespace {

std::string_view file_name(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";  // replaced by an upgrade
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return path.substr(path.rfind('/') + 1);
}

bool is_qemu_name(std::string_view name) {
  return name.starts_with("qemu-system-") || name.starts_with("qemu-kvm") || name == "QEMULauncher";
}

// Options that other programs are unlikely to have; "-m" is not among them (python -m).
bool has_qemu_options(std::span<const std::string> argv) {
  constexpr std::array<std::string_view, 22> kOptions{
      "M",      "machine", "accel",   "enable-kvm", "nodefaults", "nographic", "device",  "object",
      "netdev", "drive",   "chardev", "qmp",        "smp",        "cpu",       "monitor", "display",
      "vga",    "numa",    "uuid",    "no-reboot",  "mem-path",   "boot"};
  const auto is_one = [&](std::string_view word) {
    if (!word.starts_with('-')) return false;
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    return std::ranges::find(kOptions, word) != kOptions.end();
  };
  return std::ranges::count_if(argv, is_one) >= 2;
}

enum class Memory : std::uint8_t { there, absent, not_understood };

Memory memory_in(const CommandLine& line, std::span<const host::Mapping> maps,
                 std::string_view program) {
  if (!line.problems.empty() || !line.elsewhere.empty()) return Memory::not_understood;
  const auto machine = machine_of(line, program);
  const auto blocks = main_blocks(line, machine ? default_ram_id(machine->board) : "ram");
  if (!blocks) return Memory::not_understood;
  const auto placed = find_blocks(*blocks, maps);
  if (placed || placed.error().code != Errc::not_found) return Memory::there;
  return machine ? Memory::absent : Memory::not_understood;
}

// A process at one moment; what may not be seen of it is not there.
struct Look {
  std::vector<std::string> argv;
  std::optional<std::string> program;
  std::optional<std::vector<host::Mapping>> maps;
};

// Nothing for what cannot be a QEMU: a kernel thread, a zombie, one that is gone, a child of
// another name. Its mappings are read only where the rest fits.
std::optional<Look> look_at(std::uint32_t pid) {
  Look out;
  auto program = host::exe_of(pid);
  if (!program && program.error().code == Errc::not_found) return std::nullopt;
  auto argv = host::argv_of(pid);
  if (!argv || argv->empty()) return std::nullopt;
  out.argv = *std::move(argv);
  if (!program) return out;
  out.program = *std::move(program);
  if (!is_qemu_name(file_name(*out.program)) && !has_qemu_options(out.argv)) return out;
  if (auto maps = host::read_maps(pid)) out.maps = *std::move(maps);
  return out;
}

Evidence evidence_of(const Look& look) {
  return {.program = look.program ? &*look.program : nullptr,
          .argv = look.argv,
          .maps = look.maps ? &*look.maps : nullptr};
}

struct Candidate {
  QemuProcess process;
  std::uint32_t parent = 0;
  std::vector<std::string> argv;
};

Expected<Candidate> candidate_of(std::uint32_t pid) {
  auto look = look_at(pid);
  if (!look) return fail(Errc::invalid_argument, "is a kernel thread or a zombie");
  CommandLine line = parse_command_line(look->argv);
  if (std::string reason = why_not_qemu(evidence_of(*look), line); !reason.empty())
    return fail(Errc::invalid_argument, std::move(reason));
  const auto stat = host::stat_of(pid);
  if (!stat) return std::unexpected(stat.error());
  Candidate out{.process = {.pid = pid, .start_time = stat->start_time},
                .parent = stat->parent,
                .argv = std::move(look->argv)};
  out.process.program = look->program.value_or(line.program);
  out.process.line = std::move(line);
  if (!look->maps) out.process.unreadable = host::why_unreadable(pid);
  return out;
}

bool is_child_of_another(const Candidate& one, std::span<const Candidate> all) {
  return std::ranges::any_of(all, [&](const Candidate& other) {
    return other.process.pid == one.parent && other.argv == one.argv;
  });
}

}  // namespace

std::string why_not_qemu(const Evidence& evidence, const CommandLine& line) {
  // What libvirt starts to ask a QEMU for its abilities.
  if (line.machine.get("type") == "none") return "has machine \"none\", which runs no guest";
  if (!evidence.program)
    return is_qemu_name(file_name(line.program)) ? "" : "does not go by the name of QEMU";
  const bool named = is_qemu_name(file_name(*evidence.program));
  if (!named && !has_qemu_options(evidence.argv)) return "is no QEMU";
  if (!evidence.maps) return named ? "" : "does not go by the name of QEMU";
  switch (memory_in(line, *evidence.maps, *evidence.program)) {
    case Memory::there:
      return "";
    case Memory::absent:
      return "has no memory of a guest";
    case Memory::not_understood:
      return named ? "" : "is not known to be a QEMU";
  }
  return "";
}

Expected<std::vector<QemuProcess>> find_processes() {
  const auto pids = host::pids();
  if (!pids) return std::unexpected(pids.error());
  std::vector<Candidate> all;
  for (const std::uint32_t pid : *pids)
    if (auto one = candidate_of(pid)) all.push_back(*std::move(one));
  std::vector<QemuProcess> out;
  for (Candidate& one : all)
    if (!is_child_of_another(one, all)) out.push_back(std::move(one.process));
  return out;
}

Expected<QemuProcess> process_of(std::uint32_t pid) {
  const auto stat = host::stat_of(pid);
  if (!stat)
    return fail(Errc::not_found, "there is no process " + std::to_string(pid), {},
                "see which guests run: microvmi scan");
  auto found = candidate_of(pid);
  if (found) return std::move(found->process);
  return fail(
      found.error().code,
      "pid " + std::to_string(pid) + " (" + in_one_line(stat->comm) + ") " + found.error().message,
      {}, "see which guests run: microvmi scan");
}

}  // namespace microvmi::qemu
