// SPDX-License-Identifier: Apache-2.0
// What messages are called in errors: as kvmi.h calls them, in lower case.
#include "driver/kvm/dialect.hpp"

namespace microvmi::kvm {

const char* name_of(Dialect dialect) {
  static constexpr std::array kNames{"v6", "v7", "v12"};
  return kNames[static_cast<std::size_t>(dialect)];
}

const char* name_of(Command command) {
  static constexpr std::array<const char*, kCommands> kNames{
      "event_reply",       "get_version",     "check_command",     "get_info",
      "vcpu_get_info",     "pause_vcpu",      "vm_control_events", "vcpu_control_events",
      "control_cr",        "control_msr",     "get_registers",     "set_registers",
      "get_cpuid",         "read_physical",   "write_physical",    "inject_exception",
      "get_page_access",   "set_page_access", "get_max_gfn",       "set_ept_view",
      "get_ept_view",      "create_ept_view", "destroy_ept_view",  "translate_gva",
      "control_singlestep"};
  return kNames[static_cast<std::size_t>(command)];
}

const char* name_of(EventKind kind) {
  static constexpr std::array<const char*, kEvents> kNames{
      "unhook", "cr",         "msr",         "xsetbv",     "breakpoint", "hypercall", "page fault",
      "trap",   "descriptor", "create_vcpu", "pause_vcpu", "singlestep", "cmd_error", "cpuid"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace microvmi::kvm
