// SPDX-License-Identifier: Apache-2.0
// The three dialects of KVMi as tables: ids, the layout of every request, events and their replies.
//
// Written from the protocol's fact sheet alone, apart from the driver's codec, so that the one can
// judge the other.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "support/kvmi_peer/bytes.hpp"

namespace microvmi::test::kvmi {

enum class Dialect : std::uint8_t { v6, v7, v12 };

inline constexpr std::size_t kMaxPayload = 8184;  // 4096 * 2 - 8, both ways
inline constexpr std::size_t kHeaderSize = 8;     // u16 id, u16 size, u32 seq

enum class Cmd : std::uint8_t {
  get_version,
  check_command,
  check_event,
  get_info,
  vcpu_get_info,
  pause_vcpu,
  vm_control_events,
  vcpu_control_events,
  control_cr,
  control_msr,
  get_registers,
  set_registers,
  get_cpuid,
  get_xsave,
  read_physical,
  write_physical,
  inject_exception,
  get_page_access,
  set_page_access,
  get_map_token,
  get_mtrr_type,
  control_spp,
  get_write_bitmap,
  set_write_bitmap,
  control_cmd_response,
  set_ve_info,
  get_max_gfn,
  set_page_sve,
  next_gfn,
  set_view,
  disable_ve,
  get_view,
  translate_gva,
  control_view,
  get_xcr,
  set_xsave,
  query_physical,
  alloc_gfn,
  free_gfn,
  create_view,
  destroy_view,
  change_gfn,
  control_singlestep,
  control_cleanup,
  event_reply,
};

// One request: bytes that carry something are 'd', those that must be zero '.', the vCPU's number
// at the start 'v'. `unit` repeats `count` times, a number of `count_width` bytes at `count_at`.
struct Shape {
  const char* head = nullptr;  // null: this dialect has no such command
  const char* unit = "";
  std::size_t count_at = 0;
  std::size_t count_width = 0;  // 0: as many units as there are
};

struct CommandRow {
  Cmd cmd;
  const char* name;
  std::array<int, 3> id;  // by dialect; -1 where it has none
  Shape family;           // v6 and v7
  Shape v12;
};

[[nodiscard]] const CommandRow* find_command(Dialect dialect, std::uint16_t id);
[[nodiscard]] const CommandRow& row_of(Cmd cmd);
[[nodiscard]] const Shape& shape_of(const CommandRow& row, Dialect dialect);
[[nodiscard]] bool has_vcpu_header(const Shape& shape);

// What is wrong with the size or the padding of a request; empty where nothing is.
[[nodiscard]] std::string request_problem(const CommandRow& row, Dialect dialect, ByteSpan payload);

enum class Ev : std::uint8_t {
  unhook,
  cr,
  msr,
  xsetbv,
  breakpoint,
  hypercall,
  page_fault,
  trap,
  descriptor,
  create_vcpu,
  pause,
  singlestep,
  cmd_error,
  cpuid,
};

enum class Action : std::uint8_t { proceed = 0, retry = 1, crash = 2 };

struct EventRow {
  Ev ev;
  const char* name;
  std::array<int, 3> id;              // by dialect; -1 where it has none
  std::array<std::size_t, 3> data;    // bytes of the specific part
  std::array<const char*, 3> answer;  // layout of the reply's specific part
  std::uint8_t actions;               // a bit for each Action
  bool of_vm;                         // enabled by VM_CONTROL_EVENTS
};

[[nodiscard]] const EventRow& row_of(Ev ev);
[[nodiscard]] const EventRow* find_event(Dialect dialect, std::uint16_t id);
[[nodiscard]] std::span<const EventRow> events();
[[nodiscard]] std::span<const CommandRow> commands();

// -1, or the offset of the first byte that is not zero where the layout has padding.
[[nodiscard]] long padding_problem(const std::string& layout, ByteSpan bytes);

// KVM's numbers, negated on the wire.
enum Err : std::int32_t {
  kPerm = 1,
  kNoEnt = 2,
  kAgain = 11,
  kBusy = 16,
  kInval = 22,
  kOpNotSupp = 95,
  kNoSys = 1000,
};

}  // namespace microvmi::test::kvmi
