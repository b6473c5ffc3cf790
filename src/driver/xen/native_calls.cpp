// SPDX-License-Identifier: Apache-2.0
// Finds the libraries by their versioned names; others are named and refused.
//
// libxenctrl's name follows the release. Those of 4.16 to 4.20 have the calls used here with the
// same arguments and structures (compared in the public headers of their branches).
#include "driver/xen/native_calls.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "driver/xen/native.hpp"

namespace microvmi::xen::native {
namespace {

constexpr int kFirstRelease = 16;  // of 4.x
constexpr int kLastRelease = 20;
constexpr std::array kOthers{"libxenstore.so.4", "libxenforeignmemory.so.1", "libxenevtchn.so.1"};

std::string control_library(int release) { return fmt::format("libxenctrl.so.4.{}", release); }

std::vector<int> installed_releases(int first, int last) {
  std::vector<int> out;
  for (int release = last; release >= first; --release)
    if (Library(control_library(release))) out.push_back(release);
  return out;
}

std::unexpected<Error> no_control_library() {
  constexpr int kSoon = 40;  // releases that there may be by now
  const std::string known = fmt::format(
      "this driver knows {} to {}", control_library(kFirstRelease), control_library(kLastRelease));
  auto others = installed_releases(kLastRelease + 1, kSoon);
  if (others.empty()) others = installed_releases(0, kFirstRelease - 1);
  if (!others.empty())
    return fail(Errc::not_supported,
                control_library(others.front()) + " is installed, which is not known; " + known);
  return fail(Errc::not_found, "Xen's library libxenctrl is not installed; " + known, {},
              "install libxenmisc of this host's release");
}

std::unexpected<Error> not_installed(const char* name, int release) {
  return fail(Errc::not_found, fmt::format("Xen's library {} is not installed", name), {},
              fmt::format("install it for {}", control_library(release)));
}

}  // namespace

Library::Library(const std::string& name) : handle_(::dlopen(name.c_str(), RTLD_NOW)) {}

Library::~Library() {
  if (handle_) ::dlclose(handle_);
}

void* Library::find(const char* name) const { return ::dlsym(handle_, name); }

Expected<std::vector<int>> find_releases() {
  auto found = installed_releases(kFirstRelease, kLastRelease);
  if (found.empty()) return no_control_library();
  return found;
}

Expected<Libraries> load_libraries(int release) {
  Libraries out{.release = release};
  out.loaded.emplace_back(control_library(release));
  for (const char* name : kOthers) {
    out.loaded.emplace_back(name);
    if (!out.loaded.back()) return not_installed(name, release);
  }
#define MICROVMI_XEN_FIND(library, name)                                                 \
  out.calls.name = reinterpret_cast<decltype(&::name)>(out.loaded[library].find(#name)); \
  if (!out.calls.name)                                                                   \
    return fail(Errc::not_supported, fmt::format("{} has no {}", control_library(release), #name));
  MICROVMI_XEN_CALLS(MICROVMI_XEN_FIND)
#undef MICROVMI_XEN_FIND
  out.calls.xc_get_pfn_type_batch = reinterpret_cast<decltype(&::xc_get_pfn_type_batch)>(
      out.loaded.front().find("xc_get_pfn_type_batch"));
  return out;
}

// Each waits for its answer where it can. A register's event is told when its value changes.
int set_monitor(const Calls& calls, xc_interface* control, const MonitorSwitch& one) {
  const auto [domid, what, number, on] = one;
  switch (what) {
    case Monitor::write_ctrlreg:
      return calls.xc_monitor_write_ctrlreg(control, domid, static_cast<std::uint16_t>(number), on,
                                            true, 0, true);
    case Monitor::mov_to_msr:
      return calls.xc_monitor_mov_to_msr(control, domid, number, on, false);
    case Monitor::singlestep:
      return calls.xc_monitor_singlestep(control, domid, on);
    case Monitor::software_breakpoint:
      return calls.xc_monitor_software_breakpoint(control, domid, on);
    case Monitor::guest_request:
      return calls.xc_monitor_guest_request(control, domid, on, true, true);
    case Monitor::debug_exception:
      return calls.xc_monitor_debug_exceptions(control, domid, on, true);
    case Monitor::cpuid:
      return calls.xc_monitor_cpuid(control, domid, on);
    case Monitor::privileged_call:
      return calls.xc_monitor_privileged_call(control, domid, on);
    case Monitor::descriptor:
      return calls.xc_monitor_descriptor_access(control, domid, on);
    case Monitor::emul_unimplemented:
      return calls.xc_monitor_emul_unimplemented(control, domid, on);
  }
  errno = EOPNOTSUPP;
  return -1;
}

Expected<std::string> find_libraries() {
  const auto releases = find_releases();
  if (!releases) return std::unexpected(releases.error());
  for (const char* name : kOthers)
    if (!Library(name)) return not_installed(name, releases->front());
  return control_library(releases->front());
}

Expected<void> check_host() {
  for (const char* device : {"/dev/xen/privcmd", "/proc/xen/privcmd"}) {
    if (::access(device, F_OK) != 0) continue;
    if (::access(device, R_OK | W_OK) == 0) return {};
    return fail(Errc::permission_denied, fmt::format("cannot open {}: permission denied", device),
                {}, "run as root");
  }
  return fail(Errc::not_found, "this host does not run on Xen: there is no /dev/xen/privcmd", {},
              "boot Xen, and load the module xen-privcmd in its control domain");
}

}  // namespace microvmi::xen::native
