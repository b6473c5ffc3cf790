// SPDX-License-Identifier: Apache-2.0
// The tables of commands and events, and the check of a request against its row.
#include "support/kvmi_peer/dialect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace microvmi::test::kvmi {
namespace {

constexpr Shape kNone{};
constexpr Shape kEmpty{.head = ""};
constexpr Shape kVcpu{.head = "vv......"};
constexpr Shape kVcpuFlag{.head = "vv......d......."};
constexpr Shape kVcpuQuad{.head = "vv......dddddddd"};
constexpr Shape kId{.head = "dd......"};
constexpr Shape kView{.head = "dd......"};
constexpr Shape kVmEvent{.head = "ddd....."};
constexpr Shape kVcpuEvent{.head = "vv......ddd....."};
constexpr Shape kEnableNumber{.head = "vv......d...dddd"};
constexpr Shape kRegisters{
    .head = "vv......dd......", .unit = "dddd", .count_at = 8, .count_width = 2};
constexpr Shape kAnyBytes{.head = "vv......", .unit = "d"};
constexpr Shape kInject{.head = "vv......d...dddddddddddd"};
constexpr Shape kRead{.head = "dddddddddddddddd"};
constexpr Shape kRead12{.head = "dddddddddd......"};
constexpr Shape kWrite7{.head = "dddddddddddddddd", .unit = "d", .count_at = 8, .count_width = 8};
constexpr Shape kWrite12{.head = "dddddddddd......", .unit = "d", .count_at = 8, .count_width = 2};
constexpr Shape kGpas{.head = "dddd....", .unit = "dddddddd", .count_at = 2, .count_width = 2};
constexpr Shape kAccess{
    .head = "dddd....", .unit = "ddddddddd.......", .count_at = 2, .count_width = 2};
constexpr Shape kAccess12{
    .head = "dd......", .unit = "ddddddddd.......", .count_at = 0, .count_width = 2};
constexpr Shape kBitmaps{
    .head = "dddd....", .unit = "dddddddddddd....", .count_at = 2, .count_width = 2};
// 8 bytes of vCPU, 144 of kvm_regs.
constexpr Shape kSetRegisters{.head =
                                  "vv......"
                                  "dddddddddddddddddddddddddddddddddddddddddddddddd"
                                  "dddddddddddddddddddddddddddddddddddddddddddddddd"
                                  "dddddddddddddddddddddddddddddddddddddddddddddddd"};

// Table 5 of the fact sheet; v6 has the numbers of v7 where it has the command.
constexpr std::array kCommands{
    CommandRow{Cmd::get_version, "GET_VERSION", {2, 2, 2}, kEmpty, kEmpty},
    CommandRow{Cmd::check_command, "CHECK_COMMAND", {3, 3, 4}, kId, kId},
    CommandRow{Cmd::check_event, "CHECK_EVENT", {4, 4, 6}, kId, kId},
    CommandRow{Cmd::get_info, "GET_INFO", {5, 5, 8}, kEmpty, kEmpty},
    CommandRow{Cmd::vcpu_get_info, "VCPU_GET_INFO", {6, 6, 3}, kVcpu, kVcpu},
    CommandRow{Cmd::pause_vcpu, "PAUSE_VCPU", {7, 7, 16}, kVcpuFlag, {.head = "ddd....."}},
    CommandRow{Cmd::vm_control_events, "VM_CONTROL_EVENTS", {8, 8, 10}, kVmEvent, kVmEvent},
    CommandRow{Cmd::vcpu_control_events, "CONTROL_EVENTS", {9, 9, 5}, kVcpuEvent, kVcpuEvent},
    CommandRow{
        Cmd::control_cr, "CONTROL_CR", {10, 10, 13}, kEnableNumber, {.head = "vv......dd......"}},
    CommandRow{Cmd::control_msr, "CONTROL_MSR", {11, 11, 25}, kEnableNumber, kEnableNumber},
    CommandRow{Cmd::get_registers, "GET_REGISTERS", {13, 13, 7}, kRegisters, kRegisters},
    CommandRow{Cmd::set_registers, "SET_REGISTERS", {14, 14, 9}, kSetRegisters, kSetRegisters},
    CommandRow{Cmd::get_cpuid, "GET_CPUID", {15, 15, 11}, kVcpuQuad, kVcpuQuad},
    CommandRow{Cmd::get_xsave, "GET_XSAVE", {16, 16, 19}, kVcpu, kVcpu},
    CommandRow{Cmd::read_physical, "READ_PHYSICAL", {17, 17, 12}, kRead, kRead12},
    CommandRow{Cmd::write_physical, "WRITE_PHYSICAL", {18, 18, 14}, kWrite7, kWrite12},
    CommandRow{Cmd::inject_exception, "INJECT_EXCEPTION", {19, 19, 15}, kInject, kInject},
    CommandRow{Cmd::get_page_access, "GET_PAGE_ACCESS", {20, -1, -1}, kGpas, kNone},
    CommandRow{Cmd::set_page_access, "SET_PAGE_ACCESS", {21, 21, 20}, kAccess, kAccess12},
    CommandRow{Cmd::get_map_token, "GET_MAP_TOKEN", {22, 22, -1}, kEmpty, kNone},
    CommandRow{Cmd::get_mtrr_type, "GET_MTRR_TYPE", {23, 23, 23}, kVcpuQuad, kVcpuQuad},
    CommandRow{Cmd::control_spp, "CONTROL_SPP", {24, 24, -1}, {.head = "d......."}, kNone},
    CommandRow{Cmd::get_write_bitmap, "GET_PAGE_WRITE_BITMAP", {25, -1, -1}, kGpas, kNone},
    CommandRow{Cmd::set_write_bitmap, "SET_PAGE_WRITE_BITMAP", {26, 26, -1}, kBitmaps, kNone},
    CommandRow{Cmd::control_cmd_response,
               "CONTROL_CMD_RESPONSE",
               {27, 27, -1},
               {.head = "ddd....."},
               kNone},
    CommandRow{
        Cmd::set_ve_info, "SET_VE_INFO", {28, 28, -1}, {.head = "vv......ddddddddd......."}, kNone},
    CommandRow{Cmd::get_max_gfn, "GET_MAX_GFN", {29, 29, -1}, kEmpty, kNone},
    CommandRow{
        Cmd::set_page_sve, "SET_PAGE_SVE", {30, 30, -1}, {.head = "ddd.....dddddddd"}, kNone},
    CommandRow{Cmd::next_gfn, "GET_NEXT_AVAILABLE_GFN", {-1, 31, -1}, kEmpty, kNone},
    CommandRow{Cmd::set_view, "SWITCH_EPT_VIEW", {32, 32, -1}, {.head = "vv......dd......"}, kNone},
    CommandRow{Cmd::disable_ve, "DISABLE_VE", {33, 33, -1}, kVcpu, kNone},
    CommandRow{Cmd::get_view, "GET_EPT_VIEW", {34, 34, -1}, kVcpu, kNone},
    CommandRow{Cmd::translate_gva, "TRANSLATE_GVA", {-1, 35, 29}, kVcpuQuad, kVcpuQuad},
    CommandRow{
        Cmd::control_view, "CONTROL_EPT_VIEW", {36, 36, -1}, {.head = "vv......ddd....."}, kNone},
    CommandRow{Cmd::get_xcr, "GET_XCR", {-1, 37, 17}, kVcpuFlag, kVcpuFlag},
    CommandRow{Cmd::set_xsave, "SET_XSAVE", {-1, 38, 21}, kAnyBytes, kAnyBytes},
    CommandRow{Cmd::query_physical, "QUERY_PHYSICAL", {-1, 39, -1}, {.head = "dddddddd"}, kNone},
    CommandRow{Cmd::alloc_gfn, "ALLOC_GFN", {-1, 41, -1}, kVcpuQuad, kNone},
    CommandRow{Cmd::free_gfn, "FREE_GFN", {-1, 42, -1}, kVcpuQuad, kNone},
    CommandRow{Cmd::create_view, "CREATE_EPT_VIEW", {-1, 43, -1}, kEmpty, kNone},
    CommandRow{Cmd::destroy_view, "DESTROY_EPT_VIEW", {-1, 44, -1}, kView, kNone},
    CommandRow{Cmd::change_gfn,
               "CHANGE_GFN",
               {60, 60, -1},
               {.head = "vv......dd......dddddddddddddddd"},
               kNone},
    CommandRow{Cmd::control_singlestep, "CONTROL_SINGLESTEP", {-1, 63, 27}, kVcpuFlag, kVcpuFlag},
    CommandRow{Cmd::control_cleanup, "CONTROL_CLEANUP", {-1, -1, 18}, kNone, {.head = "d......."}},
    // The specific part behind these 16 bytes depends on the event and is checked with it.
    CommandRow{Cmd::event_reply,
               "EVENT_REPLY",
               {0, 0, 1},
               {.head = "vv......dd......", .unit = "d"},
               {.head = "vv......dd......", .unit = "d"}},
};

constexpr std::uint8_t kGoOrCrash = 0b101;
constexpr std::uint8_t kAnyAction = 0b111;
constexpr const char* kValue = "dddddddd";

// Section 9. v7: ctx_addr, ctx_size, a byte that must be 0, rep_complete, pad; 256 bytes follow.
// In v6 the byte that v7 wants to be 0 is "singlestep".
constexpr const char* kPageFaultHead7 = "dddddddddddd.d..";
constexpr const char* kPageFaultHead6 = "dddddddddddddd..";

constexpr std::array kEvents{
    EventRow{Ev::unhook, "UNHOOK", {0, 0, 0}, {0, 0, 0}, {"", "", ""}, 0, true},
    EventRow{Ev::cr, "CR", {1, 1, 7}, {24, 24, 24}, {kValue, kValue, kValue}, kGoOrCrash, false},
    EventRow{Ev::msr, "MSR", {2, 2, 15}, {24, 24, 24}, {kValue, kValue, kValue}, kGoOrCrash, false},
    EventRow{Ev::xsetbv, "XSETBV", {3, 3, 11}, {0, 0, 24}, {"", "", ""}, kGoOrCrash, false},
    EventRow{
        Ev::breakpoint, "BREAKPOINT", {4, 4, 5}, {16, 16, 16}, {"", "", ""}, kAnyAction, false},
    EventRow{Ev::hypercall, "HYPERCALL", {5, 5, 3}, {0, 0, 0}, {"", "", ""}, kGoOrCrash, false},
    EventRow{Ev::page_fault,
             "PF",
             {6, 6, 17},
             {24, 24, 24},
             {kPageFaultHead6, kPageFaultHead7, ""},
             kAnyAction,
             false},
    EventRow{Ev::trap, "TRAP", {7, 7, 9}, {24, 16, 16}, {"", "", ""}, kGoOrCrash, false},
    EventRow{Ev::descriptor, "DESCRIPTOR", {8, 8, 13}, {8, 8, 8}, {"", "", ""}, kAnyAction, false},
    EventRow{Ev::create_vcpu, "CREATE_VCPU", {9, 9, -1}, {0, 0, 0}, {"", "", ""}, kGoOrCrash, true},
    EventRow{Ev::pause, "PAUSE_VCPU", {10, 10, 1}, {0, 0, 0}, {"", "", ""}, kGoOrCrash, false},
    EventRow{
        Ev::singlestep, "SINGLESTEP", {-1, 11, 19}, {8, 8, 8}, {"", "", ""}, kGoOrCrash, false},
    EventRow{Ev::cmd_error, "CMD_ERROR", {12, 12, -1}, {16, 16, 0}, {"", "", ""}, 0, true},
    EventRow{Ev::cpuid, "CPUID", {-1, 13, -1}, {16, 16, 0}, {"", "", ""}, 0b001, false},
};

std::size_t index(Dialect dialect) { return static_cast<std::size_t>(dialect); }

}  // namespace

std::span<const EventRow> events() { return kEvents; }
std::span<const CommandRow> commands() { return kCommands; }

const CommandRow* find_command(Dialect dialect, std::uint16_t id) {
  const auto* found = std::ranges::find_if(
      kCommands, [&](const CommandRow& row) { return row.id[index(dialect)] == id; });
  return found == kCommands.end() ? nullptr : found;
}

const CommandRow& row_of(Cmd cmd) { return kCommands[static_cast<std::size_t>(cmd)]; }
const EventRow& row_of(Ev ev) { return kEvents[static_cast<std::size_t>(ev)]; }

const EventRow* find_event(Dialect dialect, std::uint16_t id) {
  const auto* found = std::ranges::find_if(
      kEvents, [&](const EventRow& row) { return row.id[index(dialect)] == id; });
  return found == kEvents.end() ? nullptr : found;
}

const Shape& shape_of(const CommandRow& row, Dialect dialect) {
  return dialect == Dialect::v12 ? row.v12 : row.family;
}

bool has_vcpu_header(const Shape& shape) { return shape.head[0] == 'v'; }

long padding_problem(const std::string& layout, ByteSpan bytes) {
  for (std::size_t i = 0; i < layout.size() && i < bytes.size(); ++i)
    if (layout[i] == '.' && bytes[i] != 0) return static_cast<long>(i);
  return -1;
}

std::string request_problem(const CommandRow& row, Dialect dialect, ByteSpan payload) {
  const Shape& shape = shape_of(row, dialect);
  std::string layout = shape.head;
  const std::size_t unit = std::strlen(shape.unit);
  if (payload.size() < layout.size())
    return fmt::format("{} has {} bytes, its fixed part has {}", row.name, payload.size(),
                       layout.size());
  if (unit != 0) {
    const std::size_t rest = payload.size() - layout.size();
    const std::uint64_t count =
        shape.count_width == 0 ? rest / unit : number(payload, shape.count_at, shape.count_width);
    if (rest % unit != 0 || rest / unit != count)
      return fmt::format("{} announces {} entries of {} bytes and brings {} bytes", row.name, count,
                         unit, rest);
    for (std::uint64_t i = 0; i < count; ++i) layout += shape.unit;
  }
  if (payload.size() != layout.size())
    return fmt::format("{} has {} bytes instead of {}", row.name, payload.size(), layout.size());
  if (row.cmd == Cmd::inject_exception && dialect == Dialect::v6) layout[9] = 'd';  // has_error
  if (const long at = padding_problem(layout, payload); at >= 0)
    return fmt::format("{} has {:#04x} as padding at byte {}", row.name,
                       payload[static_cast<std::size_t>(at)], at);
  return {};
}

}  // namespace microvmi::test::kvmi
