// SPDX-License-Identifier: Apache-2.0
// The simulated peer's events: their bytes, and what becomes of the guest by the reply.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvmi/wire.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// CONTROL_EVENTS of vCPU 1 for an event of one byte's number; seq 1.
std::string enable(const std::string& event) {
  return "0900 1000 01000000 0100000000000000 " + event + "00 01 0000000000";
}

// The specific part of the one event that came.
std::string specific(const std::string& message, std::size_t head = 8 + 544) {
  return message.substr(std::min(message.size(), 2 * head));
}

TEST(KvmiPeerEventTest, ACrWriteAsV7TellsItAndTheValueOfTheReply) {
  Wire wire;
  wire.guest.vcpus[1].sregs.cr3 = 0x1000;
  wire.say(enable("01"));
  EXPECT_EQ(wire.say("0a00 1000 02000000 0100000000000000 01000000 03000000"),
            hex("0a00 0800 02000000") + kNoError);
  Task task{.deed = Deed::write_cr(3, 0x2000)};
  wire.kernel.do_deed(1, task);
  const std::string event = to_hex(wire.kernel.take_output());
  ASSERT_EQ(event.size(), 2 * (8 + 568U));
  EXPECT_EQ(event.substr(0, 48),
            hex("0100 3802 01000000 | 2002 0100 01 000000 | 08 00 0000 00000000"));
  EXPECT_EQ(specific(event), hex("0300000000000000 0010000000000000 0020000000000000"));
  EXPECT_FALSE(task.outcome->done);
  wire.say("0000 1800 01000000 0100000000000000 00 01 000000000000 3333000000000000");
  EXPECT_TRUE(task.outcome->done);
  EXPECT_EQ(wire.guest.vcpus[1].sregs.cr3, 0x3333U);
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerEventTest, AReplyWithoutTheValueWritesZero) {
  Wire wire;
  wire.say(enable("02"));
  wire.say("0b00 1000 02000000 0100000000000000 01000000 820000c0");
  Task task{.deed = Deed::write_msr(0xc0000082, 0x2000)};
  wire.kernel.do_deed(1, task);
  static_cast<void>(wire.kernel.take_output());
  wire.say("0000 1000 01000000 0100000000000000 00 02 000000000000");
  EXPECT_TRUE(task.outcome->done);
  EXPECT_EQ(wire.guest.vcpus[1].msrs[0xc0000082], 0U);
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerEventTest, NothingIsToldThatIsNotIntercepted) {
  Wire wire;
  wire.say(enable("01"));
  for (const Deed& deed : {Deed::write_cr(3, 5), Deed::write_msr(0x174, 5), Deed::run(3),
                           Deed::touch(0x5000, 0x5000, kWrite), Deed::hypercall(),
                           Deed::cpuid(1, 0), Deed::descriptor(2, true), Deed::write_xcr(3)}) {
    Task task{.deed = deed};
    wire.kernel.do_deed(1, task);
    EXPECT_TRUE(task.outcome->done);
  }
  EXPECT_EQ(to_hex(wire.kernel.take_output()), "");
  EXPECT_EQ(wire.guest.vcpus[1].sregs.cr3, 5U);
}

struct Specific {
  const char* name;
  Dialect dialect;
  const char* enable;  // the event's number there
  Deed deed;
  std::size_t payload;
  const char* bytes;
};

TEST(KvmiPeerEventTest, SpecificPartsOfTheFamily) {
  for (const Specific& one : {
           Specific{"breakpoint", Dialect::v7, "04", Deed::run(1), 560,
                    "0030000000000000 01 00000000000000"},
           Specific{"hypercall", Dialect::v7, "05", Deed::hypercall(), 544, ""},
           Specific{"xsetbv", Dialect::v7, "03", Deed::write_xcr(3), 544, ""},
           Specific{"descriptor", Dialect::v7, "08", Deed::descriptor(2, true), 552,
                    "02 01 000000000000"},
           Specific{"cpuid", Dialect::v7, "0d", Deed::cpuid(4, 1), 560,
                    "04000000 01000000 02 00000000000000"},
           Specific{"xsetbv12", Dialect::v12, "0b", Deed::write_xcr(3), 8 + 568,
                    "0000000000000000 0700000000000000 0300000000000000"},
           Specific{"descriptor12", Dialect::v12, "0d", Deed::descriptor(1, false), 8 + 552,
                    "01 00 000000000000"},
       }) {
    Wire wire({.dialect = one.dialect});
    wire.guest.poke(0x3000, Bytes{kInt3});
    std::string command = enable(one.enable);
    if (one.dialect == Dialect::v12) command.replace(0, 2, "05");
    EXPECT_THAT(wire.say(command), HasSubstr(kNoError)) << one.name;
    Task task{.deed = one.deed};
    wire.kernel.do_deed(1, task);
    const std::string event = to_hex(wire.kernel.take_output());
    EXPECT_EQ(event.size(), 2 * (8 + one.payload)) << one.name;
    EXPECT_EQ(specific(event, one.dialect == Dialect::v12 ? 8 + 552 : 8 + 544), hex(one.bytes))
        << one.name;
    EXPECT_THAT(wire.record.violations, IsEmpty()) << one.name;
  }
}

TEST(KvmiPeerEventTest, V12PutsTheEventsNumberInFront) {
  Wire wire({.dialect = Dialect::v12});
  wire.say("1000 0800 09000000 0100 00 0000000000");  // PAUSE_VCPU of vCPU 1
  // The reply came first, then the event; the answer has the message id 1 and event 1.
  EXPECT_EQ(wire.kernel.owed_pauses(1), 1U);
  wire.say("0100 1000 01000000 0100000000000000 00 01 000000000000");
  EXPECT_EQ(wire.kernel.owed_pauses(1), 0U);
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerEventTest, EachPauseOwesOneEventAndOneComesAtATime) {
  Wire wire;
  const std::string pause = hex("0700 1000 05000000 0000000000000000 0100000000000000");
  const std::string first = wire.say(pause);
  EXPECT_EQ(first.substr(0, 32), hex("0700 0800 05000000") + kNoError);
  EXPECT_EQ(first.substr(32, 32), hex("0100 2002 01000000 2002 0000 0a 000000"));
  EXPECT_EQ(wire.say(pause), hex("0700 0800 05000000") + kNoError);
  EXPECT_EQ(wire.kernel.owed_pauses(0), 2U);
  const std::string second = wire.say("0000 1000 01000000 0000000000000000 00 0a 000000000000");
  EXPECT_EQ(second.substr(0, 16), hex("0100 2002 02000000"));
  wire.say("0000 1000 02000000 0000000000000000 00 0a 000000000000");
  EXPECT_EQ(wire.kernel.owed_pauses(0), 0U);
  for (int i = 0; i != 1002; ++i) wire.say(pause);
  EXPECT_EQ(wire.say(pause), hex("0700 0800 05000000 f0ffffff 00000000"));  // -EBUSY
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerEventTest, RegistersAreWrittenDuringAnEventAndAppliedByItsReply) {
  Wire wire;
  const std::string set = "0e00 9800 07000000 0000000000000000" + repeat("1100000000000000", 18);
  EXPECT_EQ(wire.say(set), hex("0e00 0800 07000000 a1ffffff 00000000"));  // -EOPNOTSUPP
  wire.say("0700 1000 05000000 0000000000000000 0100000000000000");
  EXPECT_EQ(wire.say(set), hex("0e00 0800 07000000") + kNoError);
  EXPECT_NE(wire.guest.vcpus[0].regs.rax, 0x11U);
  wire.say("0000 1000 01000000 0000000000000000 00 0a 000000000000");
  EXPECT_EQ(wire.guest.vcpus[0].regs.rax, 0x11U);
  EXPECT_EQ(wire.guest.vcpus[0].regs.rflags, 0x11U);
}

TEST(KvmiPeerEventTest, APageFaultIsToldWhereTheAccessIsTakenAwayAndTheReplyMayBringContext) {
  for (const bool context : {false, true}) {
    Wire wire;
    wire.say(enable("06"));
    wire.say("1500 1800 02000000 0000 0100 00000000 0050000000000000 0500000000000000");
    Task task{.deed = Deed::touch(0x7005, 0x5005, kWrite)};
    wire.kernel.do_deed(1, task);
    EXPECT_EQ(specific(to_hex(wire.kernel.take_output())),
              hex("0570000000000000 0550000000000000 02 00 0000 00000000"));
    const std::string head = "0100000000000000 00 06 000000000000";
    wire.say(context ? "0000 2001 01000000" + head + repeat("00", 272)
                     : "0000 1000 01000000" + head);
    EXPECT_TRUE(task.outcome->done);
    EXPECT_THAT(wire.record.violations, IsEmpty());
  }
}

TEST(KvmiPeerEventTest, ASingleStepComesForEachInstructionUntilItIsSwitchedOff) {
  Wire wire;
  wire.say("3f00 1000 02000000 0100000000000000 0100000000000000");
  EXPECT_EQ(wire.guest.vcpus[1].regs.rip, 0x3000U);  // the event is not enabled yet
  const std::string first = wire.say(enable("0b"));
  EXPECT_EQ(specific(first.substr(32)), hex("0000000000000000"));
  EXPECT_EQ(wire.guest.vcpus[1].regs.rip, 0x3001U);
  wire.say("0000 1000 01000000 0100000000000000 00 0b 000000000000");
  EXPECT_EQ(wire.guest.vcpus[1].regs.rip, 0x3002U);
  wire.say(
      "3f00 1000 03000000 0100000000000000 0000000000000000"
      "0000 1000 02000000 0100000000000000 00 0b 000000000000");
  EXPECT_EQ(wire.guest.vcpus[1].regs.rip, 0x3002U);
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerEventTest, AnInjectedExceptionIsToldByTrap) {
  Wire wire;
  wire.say(enable("07"));
  const std::string told =
      wire.say("1300 1800 02000000 0100000000000000 0e 000000 04000000 0010000000000000");
  EXPECT_EQ(told.substr(0, 32), hex("1300 0800 02000000") + kNoError);
  EXPECT_EQ(specific(told.substr(32)), hex("0e000000 04000000 0010000000000000"));
  EXPECT_THAT(wire.record.injected, ElementsAre(Injected{14, 4, 0x1000}));
}

TEST(KvmiPeerEventTest, ABadReplyEndsTheConnection) {
  struct Case {
    const char* bytes;
    const char* says;
  };
  for (const Case& one : {
           Case{"0000 1000 02000000 0000000000000000 00 0a 000000000000",
                "sequence number 2 instead of 1"},
           Case{"0000 1000 01000000 0100000000000000 00 0a 000000000000", "waits for none"},
           Case{"0000 1000 01000000 0900000000000000 00 0a 000000000000", "vcpu 9 of 2"},
           Case{"0000 1000 01000000 0000000000000000 00 0b 000000000000", "is for event 11"},
           Case{"0000 1000 01000000 0000000000000000 01 0a 000000000000", "has action 1"},
           Case{"0000 1000 01000000 0000000000000000 03 0a 000000000000", "has action 3"},
           Case{"0000 1000 01000000 0000000000000000 00 0a 000000000001", "padding at byte 15"},
           Case{"0000 1800 01000000 0000000000000000 00 0a 000000000000 0000000000000000",
                "8 bytes of its own"},
           Case{"0000 0800 01000000 0000000000000000", "its fixed part has 16"},
       }) {
    Wire wire;
    wire.say("0700 1000 05000000 0000000000000000 0100000000000000");
    wire.say(one.bytes);
    EXPECT_THAT(wire.record.violations, ElementsAre(HasSubstr(one.says))) << one.bytes;
    EXPECT_TRUE(wire.kernel.closed()) << one.bytes;
  }
}

}  // namespace
}  // namespace microvmi::test::kvmi
