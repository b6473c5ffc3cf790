// SPDX-License-Identifier: Apache-2.0
// The rules of the simulated peer that are about order and time: vCPUs that do not run, misdeeds,
// what is left at the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvmi/wire.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::IsEmpty;
using testing::StartsWith;
using testing::UnorderedElementsAre;

const std::string kView0 = hex("2200 0800 0a000000 0000000000000000");
const std::string kView1 = hex("2200 0800 0b000000 0100000000000000");
const std::string kView0Reply = hex("2200 1000 0a000000") + kNoError + kNoError;
const std::string kView1Reply = hex("2200 1000 0b000000") + kNoError + kNoError;
const std::string kInfo = hex("0500 0000 0c000000");

TEST(KvmiPeerRuleTest, VmCommandsOvertakeThoseOfVcpusAndVcpusEachOther) {
  Wire forwards;
  EXPECT_EQ(forwards.say(kView0 + kView1), kView0Reply + kView1Reply);
  EXPECT_THAT(forwards.say(kView0 + kInfo), StartsWith(hex("0500 1800 0c000000")));
  Wire backwards({.backwards = true});
  EXPECT_EQ(backwards.say(kView0 + kView1), kView1Reply + kView0Reply);
}

TEST(KvmiPeerRuleTest, AVmThatQemuHasStoppedAnswersNoVcpuCommand) {
  Wire wire;
  wire.kernel.stop(true);
  EXPECT_EQ(wire.say(kView0), "");
  EXPECT_THAT(wire.say(kInfo), StartsWith(hex("0500 1800 0c000000")));
  wire.kernel.stop(false);
  EXPECT_EQ(to_hex(wire.kernel.take_output()), kView0Reply);
}

TEST(KvmiPeerRuleTest, AVcpuThatWasNeverStarted) {
  Wire wire;
  wire.guest.vcpus[1].started = false;
  EXPECT_EQ(wire.say(kView1), hex("2200 0800 0b000000 f5ffffff 00000000"));  // -EAGAIN
  EXPECT_EQ(wire.say("0700 1000 05000000 0100000000000000 0100000000000000"),
            hex("0700 0800 05000000") + kNoError);
  wire.guest.vcpus[1].started = true;
  wire.kernel.run();
  EXPECT_THAT(to_hex(wire.kernel.take_output()), StartsWith(hex("0100 2002 01000000")));
}

TEST(KvmiPeerRuleTest, AVcpuThatDoesNotExistIsRefused) {
  Wire wire;
  EXPECT_EQ(wire.say("2200 0800 0a000000 0200000000000000"),
            hex("2200 0800 0a000000 eaffffff 00000000"));
}

TEST(KvmiPeerRuleTest, MisdeedsAreWhatTheyAreCalled) {
  const auto with = [](Misdeed what) {
    Wire wire({.faults = {{.at = Cmd::get_max_gfn, .what = what}}});
    std::string said = wire.say("1d00 0000 01000000");
    if (wire.kernel.closed()) said += " end";
    return said;
  };
  const std::string data = hex("0002000000000000");
  EXPECT_EQ(with(Misdeed::none), hex("1d00 1000 01000000") + kNoError + data);
  EXPECT_EQ(with(Misdeed::silence), "");
  EXPECT_EQ(with(Misdeed::wrong_seq), hex("1d00 1000 01000040") + kNoError + data);
  EXPECT_EQ(with(Misdeed::wrong_id), hex("1e00 1000 01000000") + kNoError + data);
  EXPECT_EQ(with(Misdeed::short_reply), hex("1d00 0c00 01000000") + kNoError + hex("00020000"));
  EXPECT_EQ(with(Misdeed::no_error_block), hex("1d00 0400 01000000 00000000"));
  EXPECT_EQ(with(Misdeed::long_reply),
            hex("1d00 2800 01000000") + kNoError + data + repeat("ee", 24));
  EXPECT_EQ(with(Misdeed::oversize), hex("1d00 f91f 01000000") + kNoError + data);
  EXPECT_EQ(with(Misdeed::hangup_before), " end");
  EXPECT_EQ(with(Misdeed::hangup_in_header), hex("1d00 1000 01") + " end");
  EXPECT_EQ(with(Misdeed::hangup_in_body), hex("1d00 1000 01000000") + kNoError + " end");
  EXPECT_EQ(with(Misdeed::twice), repeat(hex("1d00 1000 01000000") + kNoError + data, 2));
}

TEST(KvmiPeerRuleTest, ASkippedMisdeedWaitsForItsTurn) {
  Wire wire({.faults = {{.at = Cmd::get_info, .what = Misdeed::silence, .skip = 1}}});
  EXPECT_NE(wire.say(kInfo), "");
  EXPECT_EQ(wire.say(kInfo), "");
  EXPECT_NE(wire.say(kInfo), "");
}

TEST(KvmiPeerRuleTest, WhatAToolLeavesBehindIsKnown) {
  Wire wire;
  wire.say("0900 1000 01000000 0100000000000000 0100 01 0000000000");
  wire.say("0a00 1000 02000000 0100000000000000 01000000 03000000");
  wire.say("1500 1800 03000000 0000 0100 00000000 0050000000000000 0500000000000000");
  wire.say("0800 0800 04000000 0000 01 0000000000");
  wire.say("0700 1000 05000000 0000000000000000 0100000000000000");
  wire.kernel.detach();
  EXPECT_THAT(wire.record.leftovers,
              UnorderedElementsAre(
                  "UNHOOK is enabled", "vcpu 1: CR is enabled", "vcpu 1: cr3 is intercepted",
                  "vcpu 0: PAUSE_VCPU 1 is unanswered", "view 0: frame 0x5 has access 5"));
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerRuleTest, UnhookComesOnlyWhereItIsWanted) {
  Wire wire;
  EXPECT_FALSE(wire.kernel.unhook());
  EXPECT_TRUE(wire.kernel.closed());
  Wire other;
  other.say("0800 0800 04000000 0000 01 0000000000");
  EXPECT_TRUE(other.kernel.unhook());
  EXPECT_EQ(to_hex(other.kernel.take_output()), hex("0100 2002 01000000 2002") + repeat("00", 542));
}

TEST(KvmiPeerRuleTest, AnEventMayStandBeforeAReply) {
  Wire wire({.pause_event_first = true});
  const std::string said = wire.say("0700 1000 05000000 0000000000000000 0100000000000000");
  EXPECT_THAT(said, StartsWith(hex("0100 2002 01000000")));
  EXPECT_EQ(said.substr(said.size() - 32), hex("0700 0800 05000000") + kNoError);
}

TEST(KvmiPeerRuleTest, AGuestThatIsStuckIsTold) {
  Wire wire;
  wire.guest.poke(0x3000, Bytes{kInt3});
  wire.say("0900 1000 01000000 0100000000000000 0400 01 0000000000");
  wire.kernel.do_deed(1, {.deed = Deed::run(1)});
  for (unsigned seq = 1; seq != 120 && !wire.kernel.closed(); ++seq) {
    Bytes reply = from_hex("0000 1000");
    append(reply, seq);
    append_bytes(reply, from_hex("0100000000000000 01 04 000000000000"));
    wire.kernel.receive(reply);
  }
  ASSERT_EQ(wire.record.violations.size(), 1U);
  EXPECT_THAT(wire.record.violations[0], StartsWith("vcpu 1 does one instruction for ever"));
}

}  // namespace
}  // namespace microvmi::test::kvmi
