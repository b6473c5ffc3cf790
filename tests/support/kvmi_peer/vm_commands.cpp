// SPDX-License-Identifier: Apache-2.0
// Commands that concern the whole VM; they are executed as they come.
#include <fmt/format.h>

#include "support/kvmi_peer/kernel.hpp"

namespace microvmi::test::kvmi {
namespace {

constexpr unsigned kMostPauses = 1002;  // section 4
constexpr std::uint8_t kAllAccess = 7;
constexpr std::uint16_t kViews = 3;  // of the kernel of 2020

}  // namespace

Kernel::Handler Kernel::vm_handler(Cmd cmd) {
  switch (cmd) {
    case Cmd::get_version:
      return &Kernel::get_version;
    case Cmd::check_command:
      return &Kernel::check_command;
    case Cmd::check_event:
      return &Kernel::check_event;
    case Cmd::get_info:
      return &Kernel::get_info;
    case Cmd::pause_vcpu:
      return &Kernel::pause;
    case Cmd::vm_control_events:
      return &Kernel::vm_control_events;
    case Cmd::read_physical:
      return &Kernel::read_physical;
    case Cmd::write_physical:
      return &Kernel::write_physical;
    case Cmd::get_page_access:
      return &Kernel::get_page_access;
    case Cmd::set_page_access:
      return &Kernel::set_page_access;
    case Cmd::create_view:
      return &Kernel::create_view;
    case Cmd::destroy_view:
      return &Kernel::destroy_view;
    case Cmd::control_cmd_response:
      return &Kernel::control_cmd_response;
    case Cmd::get_max_gfn:
      return &Kernel::get_max_gfn;
    case Cmd::control_cleanup:
      return &Kernel::control_cleanup;
    default:
      return nullptr;
  }
}

Kernel::Reply Kernel::get_version(ByteSpan) {
  Reply reply;
  append(reply.data, setup_.version);
  append(reply.data, setup_.second_word.value_or(v12() ? kMaxPayload : 0));
  if (dialect() == Dialect::v6) return reply;  // 8 bytes in that dialect
  if (v12()) {
    append(reply.data, std::uint8_t{setup_.singlestep});
    append_zeros(reply.data, 7);
    return reply;
  }
  for (const bool feature : {false, false, setup_.eptp, false, setup_.singlestep})
    append(reply.data, std::uint8_t{feature});  // spp, vmfunc, eptp, ve, singlestep
  append_zeros(reply.data, 3);
  return reply;
}

Kernel::Reply Kernel::check_command(ByteSpan payload) {
  const std::uint16_t id = u16(payload, 0);
  const std::int32_t unknown = v12() ? -kNoEnt : -kInval;
  if (v12() && id == 22) return {.err = setup_.knows_v10_page_access ? 0 : unknown, .data = {}};
  const CommandRow* row = find_command(dialect(), id);
  if (row == nullptr) return {.err = unknown, .data = {}};
  const bool differs = row->cmd == Cmd::control_singlestep || row->cmd == Cmd::set_page_access ||
                       row->cmd == Cmd::get_max_gfn;
  if (differs && !setup_.knows_family_ids) return {.err = unknown, .data = {}};
  const auto refused = setup_.refuse.find(row->cmd);
  const bool denied = refused != setup_.refuse.end() && refused->second == kPerm;
  return {.err = denied ? -kPerm : 0, .data = {}};
}

Kernel::Reply Kernel::check_event(ByteSpan payload) {
  const EventRow* row = find_event(dialect(), u16(payload, 0));
  if (row == nullptr) return {.err = v12() ? -kNoEnt : -kInval, .data = {}};
  return {.err = setup_.denied.contains(row->ev) ? -kPerm : 0, .data = {}};
}

Kernel::Reply Kernel::get_info(ByteSpan) {
  Reply reply;
  append(reply.data, static_cast<std::uint32_t>(guest_.vcpus.size()));
  append_zeros(reply.data, 12);
  return reply;
}

Kernel::Reply Kernel::pause(ByteSpan payload) {
  const unsigned vcpu = u16(payload, 0);
  const std::uint8_t wait = u8(payload, v12() ? 2 : 8);
  if (vcpu >= vcpus_.size()) return {.err = -kInval, .data = {}};
  if (wait > 1) {
    // v12 demands 0 or 1; the sheet does not say what v7 makes of another value.
    violation(fmt::format("PAUSE_VCPU has wait {}", wait));
    return {.err = -kInval, .data = {}};
  }
  if (setup_.denied.contains(Ev::pause)) {
    if (!v12()) refuse_and_close("PAUSE_VCPU although its event is denied");
    return {.err = -kPerm, .data = {}};
  }
  if (vcpus_[vcpu].pauses >= kMostPauses) return {.err = -kBusy, .data = {}};
  ++vcpus_[vcpu].pauses;
  if (setup_.pause_event_first) run_vcpu(vcpu);
  return {};
}

Kernel::Reply Kernel::vm_control_events(ByteSpan payload) {
  const EventRow* row = find_event(dialect(), u16(payload, 0));
  const std::uint8_t enable = u8(payload, 2);
  if (row == nullptr || !row->of_vm || enable > 1) {
    violation(fmt::format("VM_CONTROL_EVENTS of event {}, enable {}", u16(payload, 0), enable));
    return {.err = -kInval, .data = {}};
  }
  if (setup_.denied.contains(row->ev)) return {.err = -kPerm, .data = {}};
  if (enable != 0)
    vm_enabled_.insert(row->ev);
  else
    vm_enabled_.erase(row->ev);
  return {};
}

std::optional<std::int32_t> Kernel::range_error(std::uint64_t gpa, std::uint64_t size) {
  // The range is checked before whether the page is there (section 6).
  if (size == 0 || size > kPage || gpa % kPage + size > kPage) return -kInval;
  if (!guest_.holds(gpa)) return -kNoEnt;
  return std::nullopt;
}

Kernel::Reply Kernel::read_physical(ByteSpan payload) {
  const std::uint64_t gpa = u64(payload, 0);
  const std::uint64_t size = number(payload, 8, v12() ? 2 : 8);
  if (const auto err = range_error(gpa, size)) {
    if (*err == -kInval) violation(fmt::format("READ_PHYSICAL of {} bytes at {:#x}", size, gpa));
    return {.err = *err, .data = {}};
  }
  const std::uint8_t* from = guest_.at(gpa);
  return {.err = 0, .data = Bytes(from, from + size)};
}

Kernel::Reply Kernel::write_physical(ByteSpan payload) {
  const std::uint64_t gpa = u64(payload, 0);
  const std::uint64_t size = number(payload, 8, v12() ? 2 : 8);
  if (const auto err = range_error(gpa, size)) {
    if (*err == -kInval) violation(fmt::format("WRITE_PHYSICAL of {} bytes at {:#x}", size, gpa));
    return {.err = *err, .data = {}};
  }
  guest_.poke(gpa, payload.subspan(16));
  return {};
}

std::uint8_t Kernel::access_of(std::uint16_t view, std::uint64_t gfn) const {
  const auto found = access_.find({view, gfn});
  return found == access_.end() ? kAllAccess : found->second;
}

Kernel::Reply Kernel::get_page_access(ByteSpan payload) {
  const std::uint16_t view = u16(payload, 0);
  Reply reply;
  for (std::size_t at = 8; at < payload.size(); at += 8) {
    // The sheet does not say what the kernel answers for a frame that is not there.
    if (!guest_.holds(u64(payload, at))) return {.err = -kInval, .data = {}};
    reply.data.push_back(access_of(view, u64(payload, at) / kPage));
  }
  return reply;
}

Kernel::Reply Kernel::set_page_access(ByteSpan payload) {
  const std::uint16_t view = v12() ? std::uint16_t{0} : u16(payload, 0);
  if (!has_view(view)) return {.err = -kInval, .data = {}};
  if (view != 0 && !setup_.eptp) return {.err = -kOpNotSupp, .data = {}};
  Reply reply;
  // All entries are tried, the first error is returned (section 8).
  for (std::size_t at = 8; at + 16 <= payload.size(); at += 16) {
    const std::uint64_t gpa = u64(payload, at);
    const std::uint8_t access = u8(payload, at + 8);
    const std::uint8_t bits = v12() ? 7 : 15;  // bit 3 of the family: suppress #VE
    const bool there = guest_.holds(gpa);
    if ((access & ~bits) != 0 || gpa % kPage != 0 || (access & 3) == kWrite)
      violation(fmt::format("SET_PAGE_ACCESS {} at {:#x}", access, gpa));
    if ((access & ~bits) != 0 || (v12() && !there)) {
      if (reply.err == 0) reply.err = -kInval;
    } else if (!there) {
      continue;  // the family takes a frame without memory in silence
    } else if ((access & kAllAccess) == kAllAccess) {
      access_.erase({view, gpa / kPage});
    } else {
      access_[{view, gpa / kPage}] = access & kAllAccess;
    }
  }
  return reply;
}

bool Kernel::has_view(std::uint16_t view) const { return view < kViews || views_.contains(view); }

Kernel::Reply Kernel::create_view(ByteSpan) {
  if (!setup_.eptp) return {.err = -kOpNotSupp, .data = {}};
  std::uint16_t view = kViews;
  while (views_.contains(view)) ++view;
  views_.insert(view);
  Reply reply;
  append(reply.data, view);
  append_zeros(reply.data, 6);
  return reply;
}

// The sheet does not say what becomes of a vCPU that sees it; none should.
Kernel::Reply Kernel::destroy_view(ByteSpan payload) {
  const std::uint16_t view = u16(payload, 0);
  if (views_.erase(view) == 0) return {.err = -kInval, .data = {}};
  for (std::size_t i = 0; i != guest_.vcpus.size(); ++i)
    if (guest_.vcpus[i].view == view)
      violation(fmt::format("DESTROY_EPT_VIEW {}, which vcpu {} sees", view, i));
  std::erase_if(access_, [view](const auto& one) { return one.first.first == view; });
  return {};
}

Kernel::Reply Kernel::control_cmd_response(ByteSpan payload) {
  const bool enable = u8(payload, 0) != 0;
  replies_off_ = !enable;
  return {};
}

Kernel::Reply Kernel::get_max_gfn(ByteSpan) {
  Reply reply;
  append(reply.data, guest_.max_gfn());
  return reply;
}

Kernel::Reply Kernel::control_cleanup(ByteSpan payload) {
  if (u8(payload, 0) > 1) return {.err = -kInval, .data = {}};
  return {};
}

}  // namespace microvmi::test::kvmi
