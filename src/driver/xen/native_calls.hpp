// SPDX-License-Identifier: Apache-2.0
// Calls: the functions of Xen's libraries, loaded at run time, in their own types.
#pragma once

#define XC_WANT_COMPAT_DEVICEMODEL_API  // xc_hvm_inject_trap()

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenstore.h>
#include <xentoollog.h>

#include <xen/hvm/save.h>  // after xenctrl.h

#include <string>
#include <utility>
#include <vector>

#include "driver/xen/native.hpp"

// Exported by libxenctrl of 4.17, whose public header does not have it.
extern "C" int xc_get_pfn_type_batch(xc_interface* xch, uint32_t dom, unsigned int num,
                                     xen_pfn_t* frames);

namespace microvmi::xen::native {

// The library of each: libxenctrl, libxenstore, libxenforeignmemory, libxenevtchn.
// clang-format off
#define MICROVMI_XEN_CALLS(X) \
  X(0, xc_interface_open) X(0, xc_interface_close) X(0, xc_version) X(0, xc_domain_getinfolist) \
  X(0, xc_domain_pause) X(0, xc_domain_unpause) X(0, xc_domain_maximum_gpfn) \
  X(0, xc_maximum_ram_page) X(0, xc_domain_get_pod_target) X(0, xc_domain_get_guest_width) \
  X(0, xc_vcpu_getinfo) X(0, xc_vcpu_getcontext) X(0, xc_vcpu_setcontext) \
  X(0, xc_domain_hvm_getcontext) X(0, xc_domain_hvm_getcontext_partial) \
  X(0, xc_domain_hvm_setcontext) X(0, xc_hvm_inject_trap) X(0, xc_vm_event_get_version) \
  X(0, xc_monitor_get_capabilities) X(0, xc_monitor_enable) X(0, xc_monitor_disable) \
  X(0, xc_monitor_write_ctrlreg) X(0, xc_monitor_mov_to_msr) X(0, xc_monitor_singlestep) \
  X(0, xc_monitor_software_breakpoint) X(0, xc_monitor_descriptor_access) \
  X(0, xc_monitor_guest_request) X(0, xc_monitor_debug_exceptions) X(0, xc_monitor_cpuid) \
  X(0, xc_monitor_privileged_call) X(0, xc_monitor_emul_unimplemented) \
  X(0, xc_domain_debug_control) X(0, xc_set_mem_access) X(0, xc_get_mem_access) \
  X(1, xs_open) X(1, xs_close) X(1, xs_read) \
  X(2, xenforeignmemory_open) X(2, xenforeignmemory_close) X(2, xenforeignmemory_map) \
  X(2, xenforeignmemory_unmap) \
  X(3, xenevtchn_open) X(3, xenevtchn_close) X(3, xenevtchn_fd) X(3, xenevtchn_notify) \
  X(3, xenevtchn_bind_interdomain) X(3, xenevtchn_unbind) X(3, xenevtchn_pending) \
  X(3, xenevtchn_unmask)
// clang-format on

#define MICROVMI_XEN_MEMBER(library, name) decltype(&::name) name = nullptr;
struct Calls {
  MICROVMI_XEN_CALLS(MICROVMI_XEN_MEMBER)
  decltype(&::xc_get_pfn_type_batch) xc_get_pfn_type_batch = nullptr;  // null in some libraries
};
#undef MICROVMI_XEN_MEMBER

class Library {
 public:
  explicit Library(const std::string& name);
  Library(Library&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library();
  explicit operator bool() const { return handle_ != nullptr; }
  [[nodiscard]] void* find(const char* name) const;

 private:
  void* handle_;
};

struct Libraries {
  int release = 0;  // of 4.x
  std::vector<Library> loaded{};
  Calls calls{};
};

// The releases that are installed and known, the newest first; several may be, side by side. An
// error names what is missing or unknown.
[[nodiscard]] Expected<std::vector<int>> find_releases();
[[nodiscard]] Expected<Libraries> load_libraries(int release);

struct MonitorSwitch {
  std::uint16_t domid;
  Monitor what;
  std::uint32_t number;  // of the register
  bool on;
};
[[nodiscard]] int set_monitor(const Calls& calls, xc_interface* control, const MonitorSwitch& one);

}  // namespace microvmi::xen::native
