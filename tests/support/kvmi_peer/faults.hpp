// SPDX-License-Identifier: Apache-2.0
// How the simulated kernel is set up, and how it misbehaves on command.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "support/kvmi_peer/deed.hpp"

namespace microvmi::test::kvmi {

enum class Misdeed : std::uint8_t {
  none,
  silence,         // no reply
  wrong_seq,       // the reply of a command that was never given
  wrong_id,        // the right sequence number with another command's id
  short_reply,     // four bytes of data less, in a message of that size
  no_error_block,  // four bytes in all
  long_reply,      // 24 bytes more, in a message of that size: has to be borne
  oversize,        // a header that announces more than any message may have
  hangup_before,
  hangup_in_header,
  hangup_in_body,
  twice,  // the same reply again
};

struct Fault {
  Cmd at{};
  Misdeed what{};
  unsigned skip = 0;  // that many of this command go well first
};

struct KernelSetup {
  Dialect dialect = Dialect::v7;
  bool eptp = true, singlestep = true;   // features
  std::map<Cmd, std::int32_t> refuse{};  // these are answered with -KVM_...
  std::set<Ev> denied{};                 // QEMU's event= list lacks them: -EPERM
  bool backwards = false;                // replies of vCPU commands come last vCPU first
  bool pause_event_first = false;        // the PAUSE event before the reply to the PAUSE command
  bool trap_always = false;              // the sheet has both; v12 always sends TRAP
  bool view_in_page_fault = true;        // newest v7; else padding
  bool next_step_fails = false;          // SINGLESTEP says so once
  std::size_t common_extra = 0;          // bytes by which the events' common part has grown
  std::optional<Injected> injected_instead{};  // what the guest gets in place of what was asked
  std::vector<Fault> faults{};
  // Before the reply to this command the vCPU does that: the event stands before the reply.
  std::map<Cmd, std::pair<unsigned, Task>> before_reply{};

  // What GET_VERSION says; dialects that are not ours.
  std::uint32_t version = 1;
  std::optional<std::uint32_t> second_word{};  // padding or max_msg_size
  bool knows_v10_page_access = false;  // CHECK_COMMAND(22) succeeds: v10, v11 or the ARM fork
  bool knows_family_ids = true;        // false: the list's v7 to v9, without 21, 29 and 63
};

}  // namespace microvmi::test::kvmi
