// SPDX-License-Identifier: Apache-2.0
// Kernel: one KVMi connection as the introspected kernel sees it. Bytes in, bytes out, no socket.
//
// Strict where the real one is lax: whatever a tool has no business to send is noted as a
// violation.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/kvmi_peer/faults.hpp"
#include "support/kvmi_peer/guest.hpp"

namespace microvmi::test::kvmi {

// What both ends of a test look at; it outlives the connections.
struct Record {
  std::vector<std::string> violations;
  std::vector<std::string> leftovers;  // what the last connection left for the kernel to clean up
  std::map<Cmd, unsigned> commands;    // how often each came
  std::vector<Injected> injected;
  std::size_t most_in_flight = 0;  // commands that one receive() brought
  unsigned events_sent = 0;
  unsigned events_answered = 0;
  bool crashed = false;
  std::array<std::uint8_t, 20> cookie{};  // that the tool sent
};

class Kernel {
 public:
  Kernel(Guest& guest, KernelSetup& setup, Record& record);

  // What the tool sent, in any pieces.
  void receive(ByteSpan bytes);
  // Lets the vCPUs do what they can; after every change from outside.
  void run();
  void do_deed(unsigned vcpu, Task task);
  // QEMU stops the VM: no vCPU is in KVM_RUN, so that its commands wait.
  void stop(bool stopped);
  // QEMU is about to suspend: UNHOOK where it is wanted; false: it disconnects at once.
  [[nodiscard]] bool unhook();
  // The tool is gone: everything is released, and what it had left is recorded.
  void detach();

  void send_raw(ByteSpan bytes);  // whatever it is

  [[nodiscard]] Bytes take_output();
  [[nodiscard]] bool closed() const { return closed_; }  // once the output is sent
  [[nodiscard]] unsigned owed_pauses(unsigned vcpu) const { return vcpus_[vcpu].pauses; }
  [[nodiscard]] bool waits(unsigned vcpu) const { return vcpus_[vcpu].waiting.has_value(); }
  [[nodiscard]] unsigned replies_to(Cmd cmd) { return seen_[cmd]; }
  [[nodiscard]] bool intercepts(unsigned vcpu, Ev ev) const;
  [[nodiscard]] std::uint8_t access_of(std::uint16_t view, std::uint64_t gfn) const;

 private:
  struct Message {
    const CommandRow* row = nullptr;
    std::uint32_t seq = 0;
    Bytes payload;
  };
  struct Waiting {
    Ev ev{};
    std::uint32_t seq = 0;
  };
  struct VcpuState {
    std::set<Ev> enabled;
    std::set<std::uint32_t> crs, msrs;
    bool singlestep = false;
    unsigned pauses = 0;  // PAUSE events that are owed, the one sent included
    std::deque<Message> commands;
    std::optional<Waiting> waiting;
    std::optional<Regs> new_regs;  // applied when the event is answered
    std::optional<Injected> exception;
    std::deque<Task> deeds;
  };
  struct Reply {
    std::int32_t err = 0;
    Bytes data;
  };
  using Handler = Reply (Kernel::*)(ByteSpan payload);
  using VcpuHandler = Reply (Kernel::*)(unsigned vcpu, ByteSpan payload);

  // kernel.cpp: framing, dispatch, replies
  bool take_message();
  void dispatch(Message message);
  void execute(const Message& message, unsigned vcpu);
  [[nodiscard]] Reply answer_to(const Message& message, unsigned vcpu);
  [[nodiscard]] Misdeed misdeed_at(Cmd cmd);
  void send_reply(const Message& message, const Reply& reply);
  void send_message(std::uint16_t id, std::uint32_t seq, ByteSpan payload);
  void violation(const std::string& text);
  void refuse_and_close(const std::string& text);

  // vm_commands.cpp
  Reply get_version(ByteSpan);
  Reply check_command(ByteSpan payload);
  Reply check_event(ByteSpan payload);
  Reply get_info(ByteSpan);
  Reply pause(ByteSpan payload);
  Reply vm_control_events(ByteSpan payload);
  Reply read_physical(ByteSpan payload);
  Reply write_physical(ByteSpan payload);
  Reply get_page_access(ByteSpan payload);
  Reply set_page_access(ByteSpan payload);
  Reply create_view(ByteSpan);
  Reply destroy_view(ByteSpan payload);
  [[nodiscard]] bool has_view(std::uint16_t view) const;
  Reply control_cmd_response(ByteSpan payload);
  Reply get_max_gfn(ByteSpan);
  Reply control_cleanup(ByteSpan payload);
  [[nodiscard]] std::optional<std::int32_t> range_error(std::uint64_t gpa, std::uint64_t size);

  // vcpu_commands.cpp
  Reply vcpu_get_info(unsigned vcpu, ByteSpan);
  Reply control_events(unsigned vcpu, ByteSpan payload);
  Reply control_cr(unsigned vcpu, ByteSpan payload);
  Reply control_msr(unsigned vcpu, ByteSpan payload);
  Reply get_registers(unsigned vcpu, ByteSpan payload);
  Reply set_registers(unsigned vcpu, ByteSpan payload);
  Reply get_cpuid(unsigned vcpu, ByteSpan payload);
  Reply get_xsave(unsigned vcpu, ByteSpan);
  Reply inject_exception(unsigned vcpu, ByteSpan payload);
  Reply get_mtrr_type(unsigned vcpu, ByteSpan payload);
  Reply set_view(unsigned vcpu, ByteSpan payload);
  Reply get_view(unsigned vcpu, ByteSpan);
  Reply translate_gva(unsigned vcpu, ByteSpan payload);
  Reply get_xcr(unsigned vcpu, ByteSpan payload);
  Reply control_singlestep(unsigned vcpu, ByteSpan payload);
  static Handler vm_handler(Cmd cmd);
  static VcpuHandler vcpu_handler(Cmd cmd);

  // events.cpp: from a deed to an event
  void run_vcpu(unsigned vcpu);
  [[nodiscard]] bool enter_guest(unsigned vcpu);  // false: nothing left to do
  void perform(unsigned vcpu, Task& task);
  void write_register(unsigned vcpu, Task& task, std::uint64_t value);
  void step_instruction(unsigned vcpu, Task& task);
  void finish(unsigned vcpu, Task& task);
  void deliver_exception(unsigned vcpu);
  void send_event(unsigned vcpu, Ev ev, ByteSpan data);
  void append_vcpu_state(Bytes& to, unsigned vcpu);
  [[nodiscard]] std::uint64_t read_register(unsigned vcpu, const Deed& deed);

  // replies.cpp: from an event's reply to what becomes of the guest
  void take_event_reply(unsigned vcpu, const Message& message);
  [[nodiscard]] std::string reply_problem(unsigned vcpu, const Message& message);
  void apply(unsigned vcpu, Ev ev, Action action, ByteSpan data);
  void apply_to_deed(unsigned vcpu, Task& task, Action action, ByteSpan data);
  void crash(unsigned vcpu);

  [[nodiscard]] Dialect dialect() const { return setup_.dialect; }
  [[nodiscard]] bool v12() const { return setup_.dialect == Dialect::v12; }
  [[nodiscard]] std::size_t column() const { return static_cast<std::size_t>(setup_.dialect); }

  Guest& guest_;
  KernelSetup& setup_;
  Record& record_;
  Bytes input_, output_;
  std::vector<VcpuState> vcpus_;
  std::set<Ev> vm_enabled_;
  std::map<std::pair<std::uint16_t, std::uint64_t>, std::uint8_t> access_;  // view, gfn
  std::set<std::uint16_t> views_;                                           // made by the tool
  std::set<std::uint32_t> in_flight_;
  std::map<Cmd, unsigned> seen_;
  std::uint32_t event_seq_ = 0;
  std::size_t handled_ = 0;
  std::size_t parsed_ = 0;  // bytes of the input
  bool replies_off_ = false;
  bool moved_ = false;  // the last reply changed rip
  bool stopped_ = false;
  bool closed_ = false;
};

}  // namespace microvmi::test::kvmi
