// SPDX-License-Identifier: Apache-2.0
// The tables of the three dialects: v6 and v12 are written as what differs from v7.
#include "driver/kvm/dialect.hpp"

namespace microvmi::kvm {
namespace {

using enum Field;

template <class Row, std::size_t Count>
struct Table {
  std::array<Row, Count> rows{};

  template <class Key>
  constexpr Row& operator[](Key key) {
    return rows[static_cast<std::size_t>(key)];
  }
  template <class Key>
  constexpr void drop(std::initializer_list<Key> keys) {
    for (const Key key : keys) (*this)[key] = {};
  }
};

using Commands = Table<CommandRow, kCommands>;
using Events = Table<EventRow, kEvents>;

constexpr Slot kVcpu{vcpu, 0, 2};  // the first word of a vCPU's commands

constexpr CommandRow is(std::uint16_t id, Shape request, Shape answer = {}) {
  return {.known = true, .id = id, .request = request, .answer = answer};
}

constexpr EventRow tells(std::uint16_t id, Shape data = {}, Shape reply = {}) {
  return {.known = true, .id = id, .of_vm = false, .data = data, .reply = reply};
}

constexpr Commands commands_v7() {
  Commands t;
  using enum Command;
  t[event_reply] = is(0, Shape(16, {kVcpu, {action, 8, 1}, {event, 9, 1}}));
  t[get_version] =
      is(2, Shape(0), Shape(16, {{version, 0, 4}, {eptp, 10, 1}, {singlestep, 12, 1}}));
  t[check_command] = is(3, Shape(8, {{command, 0, 2}}));
  t[get_info] = is(5, Shape(0), Shape(16, {{count, 0, 4}}));
  t[vcpu_info] = is(6, Shape(8, {kVcpu}), Shape(8, {{frequency, 0, 8}}));
  t[pause_vcpu] = is(7, Shape(16, {kVcpu, {wait, 8, 1}}));
  t[vm_control_events] = is(8, Shape(8, {{event, 0, 2}, {enable, 2, 1}}));
  t[control_events] = is(9, Shape(16, {kVcpu, {event, 8, 2}, {enable, 10, 1}}));
  t[control_cr] = is(10, Shape(16, {kVcpu, {enable, 8, 1}, {cr, 12, 4}}));
  t[control_msr] = is(11, Shape(16, {kVcpu, {enable, 8, 1}, {msr, 12, 4}}));
  t[get_registers] = is(13, Shape(16, {kVcpu, {count, 8, 2}}), Shape(472));
  t[set_registers] = is(14, Shape(8, {kVcpu}));
  t[get_cpuid] = is(15, Shape(16, {kVcpu, {leaf, 8, 4}, {subleaf, 12, 4}}),
                    Shape(16, {{eax, 0, 4}, {ebx, 4, 4}, {ecx, 8, 4}, {edx, 12, 4}}));
  t[read_physical] = is(17, Shape(16, {{gpa, 0, 8}, {size, 8, 8}}));
  t[write_physical] = is(18, Shape(16, {{gpa, 0, 8}, {size, 8, 8}}));
  t[inject_exception] =
      is(19, Shape(24, {kVcpu, {vector, 8, 1}, {error_code, 12, 4}, {address, 16, 8}}));
  t[set_page_access] = is(21, Shape(8, {{view, 0, 2}, {count, 2, 2}}));
  t[get_max_gfn] = is(29, Shape(0), Shape(8, {{gfn, 0, 8}}));
  t[set_view] = is(32, Shape(16, {kVcpu, {view, 8, 2}}));
  t[get_view] = is(34, Shape(8, {kVcpu}), Shape(8, {{view, 0, 2}}));
  t[translate_gva] = is(35, Shape(16, {kVcpu, {gva, 8, 8}}), Shape(8, {{gpa, 0, 8}}));
  t[create_view] = is(43, Shape(0), Shape(8, {{view, 0, 2}}));
  t[destroy_view] = is(44, Shape(8, {{view, 0, 2}}));
  t[control_singlestep] = is(63, Shape(16, {kVcpu, {enable, 8, 1}}));
  return t;
}

constexpr Commands commands_v6() {
  Commands t = commands_v7();
  using enum Command;
  t[get_version].answer = Shape(8, {{version, 0, 4}});
  t[inject_exception].request =
      Shape(24, {kVcpu, {vector, 8, 1}, {has_error, 9, 1}, {error_code, 12, 4}, {address, 16, 8}});
  t[get_page_access] = is(20, Shape(8, {{view, 0, 2}, {count, 2, 2}}));
  t.drop({set_view, get_view, translate_gva, create_view, destroy_view, control_singlestep});
  return t;
}

constexpr Commands commands_v12() {
  Commands t = commands_v7();
  using enum Command;
  t[event_reply].id = 1;
  t[get_version].answer = Shape(16, {{version, 0, 4}, {singlestep, 8, 1}});
  t[check_command].id = 4;
  t[get_info].id = 8;
  t[vcpu_info].id = 3;
  t[pause_vcpu] = is(16, Shape(8, {kVcpu, {wait, 2, 1}}));
  t[vm_control_events].id = 10;
  t[control_events].id = 5;
  t[control_cr] = is(13, Shape(16, {kVcpu, {cr, 8, 1}, {enable, 9, 1}}));
  t[control_msr].id = 25;
  t[get_registers].id = 7;
  t[set_registers].id = 9;
  t[get_cpuid].id = 11;
  t[read_physical] = is(12, Shape(16, {{gpa, 0, 8}, {size, 8, 2}}));
  t[write_physical] = is(14, Shape(16, {{gpa, 0, 8}, {size, 8, 2}}));
  t[inject_exception].id = 15;
  t[set_page_access] = is(20, Shape(8, {{count, 0, 2}}));
  t[translate_gva].id = 29;
  t[control_singlestep].id = 27;
  t.drop({get_max_gfn, set_view, get_view, create_view, destroy_view});
  return t;
}

constexpr Events events_v7() {
  Events t;
  using enum EventKind;
  constexpr Shape kNewValue(8, {{new_value, 0, 8}});
  t[unhook] = tells(0);
  t[cr] =
      tells(1, Shape(24, {{Field::cr, 0, 2}, {old_value, 8, 8}, {new_value, 16, 8}}), kNewValue);
  t[msr] =
      tells(2, Shape(24, {{Field::msr, 0, 4}, {old_value, 8, 8}, {new_value, 16, 8}}), kNewValue);
  t[xsetbv] = tells(3);
  t[breakpoint] = tells(4, Shape(16, {{gpa, 0, 8}, {length, 8, 1}}));
  t[hypercall] = tells(5);
  // The reply's byte 12 must be 0; byte 13 says that a repeated instruction is done with.
  t[page_fault] = tells(6, Shape(24, {{gva, 0, 8}, {gpa, 8, 8}, {access, 16, 1}, {view, 18, 2}}),
                        Shape(272, {{data_gva, 0, 8}, {data_size, 8, 4}}));
  t[trap] = tells(7, Shape(16, {{vector, 0, 1}, {error_code, 4, 4}, {address, 8, 8}}));
  t[descriptor] = tells(8, Shape(8, {{table, 0, 1}, {write, 1, 1}}));
  t[create_vcpu] = tells(9);
  t[pause_vcpu] = tells(10);
  t[EventKind::singlestep] = tells(11, Shape(8, {{failed, 0, 1}}));
  t[cmd_error] = tells(12, Shape(16));
  t[cpuid] = tells(13, Shape(16, {{leaf, 0, 4}, {subleaf, 4, 4}, {length, 8, 1}}));
  for (const EventKind kind : {unhook, create_vcpu, cmd_error}) t[kind].of_vm = true;
  return t;
}

constexpr Events events_v6() {
  Events t = events_v7();
  using enum EventKind;
  t[page_fault].data = Shape(24, {{gva, 0, 8}, {gpa, 8, 8}, {access, 16, 1}});
  t[trap].data = Shape(24, {{vector, 0, 4}, {error_code, 8, 4}, {address, 16, 8}});
  t.drop({EventKind::singlestep, cpuid});
  return t;
}

constexpr Events events_v12() {
  Events t = events_v7();
  using enum EventKind;
  t[cr].id = 7;
  t[cr].data = Shape(24, {{Field::cr, 0, 1}, {old_value, 8, 8}, {new_value, 16, 8}});
  t[msr].id = 15;
  t[xsetbv] = tells(11, Shape(24, {{xcr, 0, 1}, {old_value, 8, 8}, {new_value, 16, 8}}));
  t[breakpoint].id = 5;
  t[hypercall].id = 3;
  t[page_fault] = tells(17, Shape(24, {{gva, 0, 8}, {gpa, 8, 8}, {access, 16, 1}}));
  t[trap].id = 9;
  t[descriptor].id = 13;
  t[pause_vcpu].id = 1;
  t[EventKind::singlestep].id = 19;
  t.drop({create_vcpu, cmd_error, cpuid});
  return t;
}

constexpr std::array kCommandTables{commands_v6(), commands_v7(), commands_v12()};
constexpr std::array kEventTables{events_v6(), events_v7(), events_v12()};

}  // namespace

const CommandRow& row(Dialect dialect, Command command) {
  return kCommandTables[static_cast<std::size_t>(dialect)].rows[static_cast<std::size_t>(command)];
}

const EventRow& row(Dialect dialect, EventKind kind) {
  return kEventTables[static_cast<std::size_t>(dialect)].rows[static_cast<std::size_t>(kind)];
}

}  // namespace microvmi::kvm
