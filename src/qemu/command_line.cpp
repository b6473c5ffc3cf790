// SPDX-License-Identifier: Apache-2.0
// Going through argv as QEMU does: an option, and its value if it takes one.
#include "qemu/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace microvmi::qemu {
namespace {

// The options of qemu-options.hx without a value, of all versions from 2.x to 7.2; all others of
// its hundreds take one, so that a value that looks like an option is never taken for one.
constexpr std::array<std::string_view, 48> kSwitches{"S",
                                                     "s",
                                                     "h",
                                                     "help",
                                                     "version",
                                                     "preconfig",
                                                     "daemonize",
                                                     "enable-kvm",
                                                     "enable-sync-profile",
                                                     "full-screen",
                                                     "mem-prealloc",
                                                     "no-acpi",
                                                     "no-hpet",
                                                     "no-reboot",
                                                     "no-shutdown",
                                                     "no-user-config",
                                                     "nodefaults",
                                                     "nodefconfig",
                                                     "nographic",
                                                     "only-migratable",
                                                     "portrait",
                                                     "singlestep",
                                                     "snapshot",
                                                     "usb",
                                                     "win2k-hack",
                                                     "xen-attach",
                                                     "xen-domid-restrict",
                                                     "async-teardown",
                                                     "audio-help",
                                                     "no-fd-bootchk",
                                                     "curses",
                                                     "sdl",
                                                     "no-quit",
                                                     "no-frame",
                                                     "alt-grab",
                                                     "ctrl-grab",
                                                     "enable-fips",
                                                     "no-kvm",
                                                     "no-kvm-irqchip",
                                                     "no-kvm-pit",
                                                     "no-kvm-pit-reinjection",
                                                     "semihosting",
                                                     "old-param",
                                                     "show-cursor",
                                                     "nouserconfig",
                                                     "xen-create",
                                                     "enable-hax",
                                                     "no-tdf"};

// -object types behind confidential-guest-support, from QEMU's qapi/qom.json.
constexpr std::array<std::string_view, 5> kEncryption{"sev-guest", "sev-snp-guest", "tdx-guest",
                                                      "s390-pv-guest", "pef-guest"};

RamBackend::Kind backend_kind(std::string_view type) {
  if (type == "memory-backend-ram") return RamBackend::Kind::ram;
  if (type == "memory-backend-memfd") return RamBackend::Kind::memfd;
  if (type == "memory-backend-file") return RamBackend::Kind::file;
  return RamBackend::Kind::other;
}

std::vector<std::string> split(std::string_view list, char separator) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(separator), list.size());
    out.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

class Reader {
 public:
  void option(std::string_view name, std::string_view value);
  void finish();
  CommandLine out;

 private:
  using Handler = void (Reader::*)(std::string_view value);

  static const std::map<std::string_view, Handler>& handlers();

  Options options(std::string_view name, std::string_view value, std::string_view implied);
  void problem(std::string_view what, std::string_view value) {
    out.problems.push_back(fmt::format("{} \"{}\"", what, value.substr(0, 120)));
  }

  void name(std::string_view value) { name_.merge(options("-name", value, "guest")); }
  void machine(std::string_view value) { out.machine.merge(options("-machine", value, "type")); }
  void memory(std::string_view value) { memory_.merge(options("-m", value, "size")); }
  void accel(std::string_view value) {
    out.accelerators.push_back(options("-accel", value, "accel").text("accel"));
  }
  void kvm(std::string_view) { out.accelerators.emplace_back("kvm"); }
  void cpu(std::string_view value) { out.cpu = options("-cpu", value, "model"); }
  void smp(std::string_view value) { smp_.merge(options("-smp", value, "cpus")); }
  void device(std::string_view value) {
    Options all = options("-device", value, "driver");
    std::string driver = all.text("driver");
    out.devices.push_back({std::move(driver), std::move(all)});
  }
  void object(std::string_view value);
  void numa(std::string_view value);
  void chardev(std::string_view value) {
    monitors_.chardev(options("-chardev", value, "backend"), value);
  }
  void mon(std::string_view value) { monitors_.mon(options("-mon", value, "chardev")); }
  void qmp(std::string_view value) { monitors_.qmp(value, out.problems); }
  void uuid(std::string_view value) { out.uuid = value; }
  void mem_path(std::string_view value) { out.mem_path = value; }
  void vga(std::string_view value) { out.vga = std::string(value); }
  void bios(std::string_view) { out.own_bios = true; }
  void gdb(std::string_view value) { out.gdb = value; }
  void gdb_default(std::string_view) { out.gdb = "tcp::1234"; }
  void stopped(std::string_view) { out.starts_stopped = true; }
  void incoming(std::string_view) { out.waits_for_migration = true; }
  void no_defaults(std::string_view) { out.no_defaults = true; }
  void readconfig(std::string_view value) {
    out.elsewhere.push_back(fmt::format("-readconfig {}", value));
  }
  void set(std::string_view value) {
    // -set GROUP.ID.ARG=VALUE; these groups never hold guest memory.
    for (const char* harmless : {"drive.", "netdev.", "chardev.", "net."})
      if (value.starts_with(harmless)) return;
    out.elsewhere.push_back(fmt::format("-set {}", value));
  }
  void global(std::string_view value) {
    out.hole64_changed |= value.find("pci-hole64-size") != std::string_view::npos;
  }

  void finish_memory();
  void finish_vcpus();
  void finish_encryption();

  Options name_, memory_, smp_;
  MonitorOptions monitors_;
  std::map<std::uint32_t, std::string> nodes_;
};

const std::map<std::string_view, Reader::Handler>& Reader::handlers() {
  static const std::map<std::string_view, Handler> all{
      {"name", &Reader::name},
      {"machine", &Reader::machine},
      {"M", &Reader::machine},
      {"m", &Reader::memory},
      {"accel", &Reader::accel},
      {"enable-kvm", &Reader::kvm},
      {"cpu", &Reader::cpu},
      {"smp", &Reader::smp},
      {"device", &Reader::device},
      {"object", &Reader::object},
      {"numa", &Reader::numa},
      {"chardev", &Reader::chardev},
      {"mon", &Reader::mon},
      {"qmp", &Reader::qmp},
      {"qmp-pretty", &Reader::qmp},
      {"uuid", &Reader::uuid},
      {"mem-path", &Reader::mem_path},
      {"vga", &Reader::vga},
      {"gdb", &Reader::gdb},
      {"s", &Reader::gdb_default},
      {"bios", &Reader::bios},
      {"S", &Reader::stopped},
      {"incoming", &Reader::incoming},
      {"nodefaults", &Reader::no_defaults},
      {"readconfig", &Reader::readconfig},
      {"set", &Reader::set},
      {"global", &Reader::global},
  };
  return all;
}

void Reader::option(std::string_view name, std::string_view value) {
  const auto found = handlers().find(name);
  if (found != handlers().end()) (this->*found->second)(value);
}

Options Reader::options(std::string_view name, std::string_view value, std::string_view implied) {
  auto parsed = Options::parse(value, implied);
  if (parsed) return *std::move(parsed);
  problem(name, parsed.error().message);
  return {};
}

void Reader::object(std::string_view value) {
  const Options all = options("-object", value, "qom-type");
  const std::string type = all.text("qom-type");
  if (std::ranges::find(kEncryption, type) != kEncryption.end()) out.encryption.push_back(type);
  if (!type.starts_with("memory-backend-")) return;
  const auto size = parse_size(all.text("size"));
  if (!size || *size == 0) problem("no size in -object", value);
  const auto kind = backend_kind(type);
  const auto share = all.get("share");
  out.backends.push_back({.id = all.text("id"),
                          .kind = kind,
                          .size = size.value_or(0),
                          .shared = share ? all.is_on("share") : kind == RamBackend::Kind::memfd,
                          .path = all.text("mem-path")});
}

void Reader::numa(std::string_view value) {
  const Options all = options("-numa", value, "type");
  if (all.get("type") != "node") return;
  const auto number = parse_number(all.text("nodeid"));
  const auto next = nodes_.empty() ? 0 : nodes_.rbegin()->first + 1;
  if (const auto memdev = all.get("memdev"))
    nodes_.insert_or_assign(number.value_or(next), std::string(*memdev));
}

void Reader::finish_memory() {
  // A number alone counts in MiB; QEMU rounds up to whole 8 KiB (hw/core/machine.c, memory opts).
  constexpr std::uint64_t kGrain = 8192;
  const auto text = memory_.get("size");
  const auto size = text ? parse_size(*text, kMiB) : std::nullopt;
  if (text && (!size || *size > UINT64_MAX - kGrain))
    problem("-m", *text);
  else if (size && *size != 0)
    out.memory = (*size + kGrain - 1) / kGrain * kGrain;
  if (const auto slots = memory_.get("slots")) {
    const auto number = parse_size(*slots);
    if (!number) problem("-m slots", *slots);
    out.slots = number.value_or(0);
  }
  if (const auto most = memory_.get("maxmem")) {
    out.max_memory = parse_size(*most);
    if (!out.max_memory) problem("-m maxmem", *most);
  }
}

void Reader::finish_vcpus() {
  // Without a number of vCPUs there are as many as its topology can hold.
  std::uint64_t product = 1;
  for (const char* level : {"sockets", "dies", "clusters", "cores", "threads"})
    product *= std::min<std::uint64_t>(parse_number(smp_.text(level)).value_or(1), 4096);
  const auto given = parse_number(smp_.text("cpus"));
  const auto most = parse_number(smp_.text("maxcpus"));
  out.vcpus = given ? *given : most.value_or(static_cast<std::uint32_t>(product & UINT32_MAX));
  if (out.vcpus == 0) out.vcpus = 1;
}

void Reader::finish_encryption() {
  if (!out.encryption.empty()) return;
  for (const char* key : {"confidential-guest-support", "memory-encryption"})
    if (const auto id = out.machine.get(key))
      out.encryption.push_back(fmt::format("{}={}", key, *id));
}

void Reader::finish() {
  out.name = name_.text("guest");
  finish_memory();
  finish_vcpus();
  finish_encryption();
  for (auto& [number, memdev] : nodes_) out.numa_memdevs.push_back(memdev);
  out.qmp = std::move(monitors_).finish();
  if (out.accelerators.empty()) out.accelerators = split(out.machine.text("accel"), ':');
}

}  // namespace

const RamBackend* CommandLine::backend(std::string_view id) const {
  const auto found = std::ranges::find(backends, id, &RamBackend::id);
  return found == backends.end() ? nullptr : &*found;
}

CommandLine parse_command_line(std::span<const std::string> argv) {
  Reader reader;
  if (!argv.empty()) reader.out.program = argv.front();
  for (std::size_t i = 1; i < argv.size(); ++i) {
    std::string_view word = argv[i];
    if (!word.starts_with('-') || word == "-") continue;  // a disk image
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const bool alone = std::ranges::find(kSwitches, word) != kSwitches.end();
    if (!alone && i + 1 == argv.size()) {
      reader.out.problems.push_back("no value after " + argv[i]);
      break;
    }
    reader.option(word, alone ? std::string_view{} : std::string_view(argv[++i]));
  }
  reader.finish();
  return std::move(reader.out);
}

}  // namespace microvmi::qemu
