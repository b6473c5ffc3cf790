// SPDX-License-Identifier: Apache-2.0
// What KVMi messages look like in each dialect, as tables: ids, sizes, offsets.
//
// The numbers are those of the kernels' kvmi.h: "v6" and "v7" as the KVM-VMI project has them,
// "v12" as the last series on the mailing list. A message has the same name in every dialect;
// where one lacks it, there is no row.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

namespace microvmi::kvm {

enum class Dialect : std::uint8_t { v6, v7, v12 };
[[nodiscard]] const char* name_of(Dialect dialect);

enum class Command : std::uint8_t {
  event_reply,
  get_version,
  check_command,
  get_info,
  vcpu_info,
  pause_vcpu,
  vm_control_events,
  control_events,
  control_cr,
  control_msr,
  get_registers,
  set_registers,
  get_cpuid,
  read_physical,
  write_physical,
  inject_exception,
  get_page_access,
  set_page_access,
  get_max_gfn,
  set_view,
  get_view,
  create_view,
  destroy_view,
  translate_gva,
  control_singlestep,
};
inline constexpr std::size_t kCommands = static_cast<std::size_t>(Command::control_singlestep) + 1;
[[nodiscard]] const char* name_of(Command command);

enum class EventKind : std::uint8_t {
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
  pause_vcpu,
  singlestep,
  cmd_error,
  cpuid,
};
inline constexpr std::size_t kEvents = static_cast<std::size_t>(EventKind::cpuid) + 1;
[[nodiscard]] const char* name_of(EventKind kind);

// Every number that stands in some message.
enum class Field : std::uint8_t {
  vcpu,
  command,
  event,
  action,
  enable,
  wait,
  count,
  view,
  gfn,
  gpa,
  gva,
  size,
  cr,
  msr,
  xcr,
  leaf,
  subleaf,
  eax,
  ebx,
  ecx,
  edx,
  vector,
  has_error,
  error_code,
  address,
  length,
  access,
  table,
  write,
  failed,
  old_value,
  new_value,
  version,
  eptp,
  singlestep,
  frequency,
  data_gva,
  data_size,
};  // clang-format keeps one a line; this is a list of words

struct Slot {
  Field field{};
  std::uint16_t offset = 0;
  std::uint8_t width = 0;  // bytes
};

// One payload: its size as the sender has to make it, and where the numbers stand. All else is 0.
class Shape {
 public:
  constexpr Shape() = default;
  constexpr explicit Shape(std::uint16_t size, std::initializer_list<Slot> slots = {})
      : size_(size), count_(static_cast<std::uint8_t>(slots.size())) {
    std::ranges::copy(slots, slots_.begin());
  }

  [[nodiscard]] constexpr std::uint16_t size() const { return size_; }
  [[nodiscard]] constexpr std::span<const Slot> slots() const {
    return std::span(slots_).first(count_);
  }
  // Null where this payload has no such number.
  [[nodiscard]] constexpr const Slot* find(Field field) const {
    for (const Slot& slot : slots())
      if (slot.field == field) return &slot;
    return nullptr;
  }

 private:
  std::uint16_t size_ = 0;
  std::uint8_t count_ = 0;
  std::array<Slot, 5> slots_{};
};

struct CommandRow {
  bool known = false;
  std::uint16_t id = 0;
  Shape request{};  // what follows it (data, lists) comes behind its size
  Shape answer{};   // behind the error code
};

struct EventRow {
  bool known = false;
  std::uint16_t id = 0;
  bool of_vm = false;  // asked for with vm_control_events
  Shape data{};
  Shape reply{};  // behind action and event
};

[[nodiscard]] const CommandRow& row(Dialect dialect, Command command);
[[nodiscard]] const EventRow& row(Dialect dialect, EventKind kind);

// What a list in get_page_access and set_page_access is made of.
struct PageEntry {
  static constexpr std::size_t kSize = 16;   // u64 gpa, u8 access, 7 zero
  static constexpr std::size_t kMost = 511;  // entries of one message
};

// Access bits of a page.
inline constexpr std::uint8_t kMayRead = 1;
inline constexpr std::uint8_t kMayWrite = 2;
inline constexpr std::uint8_t kMayExecute = 4;
inline constexpr std::uint8_t kMayAll = 7;

// What becomes of an event.
enum class Action : std::uint8_t { proceed = 0, retry = 1 };

}  // namespace microvmi::kvm
