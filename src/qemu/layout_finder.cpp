// SPDX-License-Identifier: Apache-2.0
// A monitor's word before the command line's, and what the latter does not tell.
#include "qemu/layout_finder.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "host/linux/descriptor.hpp"
#include "qemu/monitor_layout.hpp"
#include "qemu/monitors.hpp"
#include "qemu/placement.hpp"
#include "qemu/run_control.hpp"

namespace microvmi::qemu {
namespace {

// The host's vendor matters for KVM guests that reach to 1 TiB; every processor says the same.
bool host_is_amd() {
  constexpr std::size_t kLimit = std::size_t{16} << 20U;  // 4096 processors of 4 KiB each
  const auto text = host::read_text("/proc/cpuinfo", kLimit);
  return text && text->find("AuthenticAMD") != std::string::npos;
}

// What -m alone of that size would make.
CommandLine with_ram(CommandLine line, const GivenRam& given) {
  line.memory = given.size;
  line.mem_path.clear();
  line.numa_memdevs.clear();
  line.machine.add("memory-backend", "");
  std::erase_if(line.devices, [](const Device& one) { return one.options.get("memdev"); });
  return line;
}

Expected<void> is_not_encrypted(const CommandLine& line) {
  if (line.encryption.empty()) return {};
  return fail(Errc::not_supported,
              "the guest's memory is encrypted (" + line.encryption.front() + ")");
}

}  // namespace

Expected<LayoutFinder> LayoutFinder::open(QemuProcess process, std::optional<GivenRam> given) {
  auto held = host::Process::open(process.pid, process.start_time);
  if (!held) return std::unexpected(held.error());
  return LayoutFinder(std::move(process), *std::move(held), given);
}

LayoutFinder::LayoutFinder(QemuProcess process, host::Process held, std::optional<GivenRam> given)
    : process_(std::move(process)), held_(std::move(held)), given_(given) {
  if (!given_) monitors_ = monitors_of(process_);
}

Expected<host::Layout> LayoutFinder::find(const Wait& wait) {
  if (auto done = is_not_encrypted(process_.line); !done) return std::unexpected(done.error());
  if (source_ == Source::qmp) return from_monitor(monitors_.front(), wait);
  notes_.clear();
  for (auto one = monitors_.begin(); one != monitors_.end(); ++one) {
    auto layout = from_monitor(*one, wait);
    if (layout) {
      source_ = Source::qmp;
      notes_.clear();
      std::iter_swap(monitors_.begin(), one);
      return layout;
    }
    notes_.push_back(to_text(layout.error()));
  }
  auto layout = from_command_line(given_ ? with_ram(process_.line, *given_) : process_.line);
  if (layout) {
    source_ = Source::command_line;
    return layout;
  }
  for (const std::string& note : notes_) layout.error().message += "; " + note;
  return layout;
}

Expected<host::Layout> LayoutFinder::from_monitor(const Monitor& monitor, const Wait& wait) const {
  const auto ask_one = [&](const Command& command) {
    return ask_plainly(monitor, command, wait.within(kCommandTime));
  };
  const auto failed = [&](Error error) {
    return std::unexpected(about_monitor(monitor, std::move(error)));
  };
  auto layout = ask_layout(ask_one, process_.line);
  if (!layout) return failed(std::move(layout.error()));
  const auto maps = host::read_maps(process_.pid);
  if (!maps) return failed(maps.error());
  if (auto done = check_mapped(*layout, *maps); !done) return failed(std::move(done.error()));
  return layout;
}

Expected<std::vector<std::uint64_t>> LayoutFinder::addresses_of(
    const GuestLayout& layout, std::span<const host::Mapping> maps) const {
  if (!given_) return find_blocks(layout.blocks, maps);
  const std::vector addresses{given_->hva};
  if (auto done = check_mapped(place(layout, addresses), maps); !done)
    return std::unexpected(done.error());
  return addresses;
}

Expected<host::Layout> LayoutFinder::from_command_line(const CommandLine& line) {
  const auto machine = machine_of(line, process_.program);
  if (!machine) return std::unexpected(machine.error());
  const auto maps = host::read_maps(process_.pid);
  if (!maps) return std::unexpected(maps.error());
  LayoutFacts facts{.kvm = uses_kvm(*maps)};
  facts.host_is_amd = facts.kvm && host_is_amd();
  auto layout = derive_layout(line, *machine, facts);
  if (!layout) return std::unexpected(layout.error());
  const auto addresses = addresses_of(*layout, *maps);
  if (!addresses) return std::unexpected(addresses.error());
  if (layout->blocks.front().size >= kMiB && is_bios_shadowed(addresses->front())) {
    facts.bios_shadowed = true;
    layout = derive_layout(line, *machine, facts);
    if (!layout) return std::unexpected(layout.error());
  }
  notes_.insert(notes_.end(), layout->notes.begin(), layout->notes.end());
  return place(*layout, *addresses);
}

// Nothing but a firmware that copies itself can write there: until the chipset is told to open
// this RAM, writes go to the ROM in front of it and are lost.
bool LayoutFinder::is_bios_shadowed(std::uint64_t main_ram) const {
  std::array<std::byte, 16> reset{};
  const ::ssize_t got = ::pread(held_.memory(), reset.data(), reset.size(),
                                static_cast<::off_t>(main_ram + kShadowedReset));
  return got == static_cast<::ssize_t>(reset.size()) &&
         std::ranges::any_of(reset, [](std::byte one) { return one != std::byte{}; });
}

}  // namespace microvmi::qemu
