// SPDX-License-Identifier: Apache-2.0
// The simulated peer is judged too: commands and replies as bytes written by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvmi/wire.hpp"
#include "support/kvmi_peer/peer.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr const char* kNoErrorInWords = "00000000 00000000";

TEST(KvmiPeerTest, VersionInThreeDialects) {
  Wire v7;
  EXPECT_EQ(
      v7.say("0200 0000 01000000"),
      hex("0200 1800 01000000 | 00000000 00000000 | 01000000 00000000 | 00 00 01 00 01 000000"));
  Wire v6({.dialect = Dialect::v6});
  EXPECT_EQ(v6.say("0200 0000 07000000"),
            hex("0200 1000 07000000 0000000000000000 0100000000000000"));
  Wire v12({.dialect = Dialect::v12});
  EXPECT_EQ(v12.say("0200 0000 07000000"),
            hex("0200 1800 07000000 0000000000000000 01000000 f81f0000 01 00000000000000"));
  EXPECT_THAT(v7.record.violations, IsEmpty());
}

TEST(KvmiPeerTest, TheHandshakeIsThatOfItsQemu) {
  const Bytes family = handshake({.name = "win10"});
  ASSERT_EQ(family.size(), 96U);
  EXPECT_EQ(to_hex(ByteSpan(family).first(4)), "60000000");
  EXPECT_EQ(to_hex(ByteSpan(family).subspan(4, 16)), "deadbeef000102030405060708090a0b");
  EXPECT_EQ(to_hex(ByteSpan(family).subspan(20, 12)), hex("00000000 00f1536500000000"));
  EXPECT_EQ(to_hex(ByteSpan(family).subspan(32, 8)), hex("77696e3130 000000"));
  EXPECT_EQ(handshake({.kernel = {.dialect = Dialect::v12}}).size(), 104U);
  EXPECT_EQ(handshake({.struct_size = 32}).size(), 32U);
}

TEST(KvmiPeerTest, AReadGivesTheBytesOrTheErrorOfTheKernel) {
  Wire wire;
  wire.guest.poke(0x3ffe, Bytes{0xaa, 0xbb});
  EXPECT_EQ(wire.say("1100 1000 05000000 fe3f000000000000 0200000000000000"),
            hex("1100 0a00 05000000") + hex(kNoErrorInWords) + "aabb");
  // A hole: -ENOENT, 8 bytes.
  EXPECT_EQ(wire.say("1100 1000 06000000 00000a0000000000 0100000000000000"),
            hex("1100 0800 06000000 feffffff 00000000"));
  EXPECT_THAT(wire.record.violations, IsEmpty());
  // Over the end of a page: -EINVAL, and no tool should try.
  EXPECT_EQ(wire.say("1100 1000 07000000 ff3f000000000000 0200000000000000"),
            hex("1100 0800 07000000 eaffffff 00000000"));
  EXPECT_THAT(wire.record.violations, ElementsAre("READ_PHYSICAL of 2 bytes at 0x3fff"));
}

TEST(KvmiPeerTest, V12HasItsOwnNumbersAndAShorterSize) {
  Wire wire({.dialect = Dialect::v12});
  EXPECT_EQ(wire.say("0e00 1200 01000000 0010000000000000 0200 000000000000 cafe"),
            hex("0e00 0800 01000000") + hex(kNoErrorInWords));
  EXPECT_EQ(wire.say("0c00 1000 02000000 0010000000000000 0200 000000000000"),
            hex("0c00 0a00 02000000") + hex(kNoErrorInWords) + "cafe");
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerTest, CommandsComeInAnyPieces) {
  Wire wire;
  const std::string both = hex("0500 0000 09000000") + hex("1d00 0000 0a000000");
  std::string answer;
  for (std::size_t i = 0; i != both.size(); i += 2) answer += wire.say(both.substr(i, 2));
  EXPECT_EQ(answer, hex("0500 1800 09000000") + hex(kNoErrorInWords) +
                        hex("02000000 000000000000000000000000") + hex("1d00 1000 0a000000") +
                        hex(kNoErrorInWords) + hex("0002000000000000"));
}

TEST(KvmiPeerTest, RegistersStandWhereKvmHasThem) {
  Wire wire;
  Vcpu& vcpu = wire.guest.vcpus[1];
  vcpu.regs.rax = 0x1122334455667788;
  vcpu.regs.rflags = 0x246;
  vcpu.sregs.cs = {.base = 0xb, .limit = 0x11, .selector = 0x33, .type = 11, .dpl = 3, .l = 1};
  vcpu.sregs.idt = {.base = 0xfffffe0000000000, .limit = 0xfff};
  vcpu.sregs.cr3 = 0x1234000;
  vcpu.msrs[0xc0000082] = 0xffffffff81800000;
  // vCPU 1, one MSR.
  const std::string answer =
      wire.say("0d00 1400 03000000 0100 000000000000 0100 000000000000 820000c0");
  ASSERT_EQ(answer.size(), 2 * (8 + 8 + 472 + 16U));
  const std::string data = answer.substr(32);
  const auto at = [&](std::size_t offset, std::size_t size) {
    return data.substr(2 * offset, 2 * size);
  };
  EXPECT_EQ(at(0, 8), hex("08000000 00000000"));
  EXPECT_EQ(at(8, 8), "8877665544332211");
  EXPECT_EQ(at(8 + 136, 8), hex("4602000000000000"));
  EXPECT_EQ(at(152, 24), hex("0b00000000000000 11000000 3300 0b 01 03 00 01 01 01 00 00 00"));
  EXPECT_EQ(at(152 + 208, 16), hex("000000 0000feffff ff0f 000000000000"));
  EXPECT_EQ(at(152 + 240, 8), hex("0040230100000000"));
  EXPECT_EQ(at(464, 8), hex("01000000 00000000"));
  EXPECT_EQ(at(472, 16), hex("820000c0 00000000 00008081ffffffff"));
  // An MSR that it has not: -EINVAL.
  EXPECT_THAT(wire.say("0d00 1400 04000000 0100 000000000000 0100 000000000000 ffffff00"),
              StartsWith(hex("0d00 0800 04000000 eaffffff")));
  EXPECT_THAT(wire.record.violations, IsEmpty());
}

TEST(KvmiPeerTest, PageAccessHasViewAndCountInThatOrder) {
  Wire wire;
  EXPECT_EQ(wire.say("1500 2800 02000000 0100 0200 00000000 "
                     "0050000000000000 0500000000000000 0060000000000000 0700000000000000"),
            hex("1500 0800 02000000") + hex(kNoErrorInWords));
  EXPECT_EQ(wire.kernel.access_of(1, 5), 5);
  EXPECT_EQ(wire.kernel.access_of(0, 5), 7);
  EXPECT_EQ(wire.kernel.access_of(1, 6), 7);
  Wire v12({.dialect = Dialect::v12});
  EXPECT_EQ(v12.say("1400 1800 02000000 0100 000000000000 0050000000000000 0100000000000000"),
            hex("1400 0800 02000000") + hex(kNoErrorInWords));
  EXPECT_EQ(v12.kernel.access_of(0, 5), 1);
  // A frame without memory: the family says nothing, v12 -EINVAL.
  EXPECT_THAT(v12.say("1400 1800 03000000 0100 000000000000 00000a0000000000 0100000000000000"),
              HasSubstr("eaffffff"));
  EXPECT_THAT(wire.record.violations, IsEmpty());
  EXPECT_THAT(v12.record.violations, IsEmpty());
}

TEST(KvmiPeerTest, GuestAddressesAreWalkedThroughTables) {
  Wire wire;
  wire.guest.map_page(0, 0xffff800000401000, 0x5000);
  EXPECT_EQ(wire.say("2300 1000 01000000 0000000000000000 34224000 0080ffff"),
            hex("2300 1000 01000000") + hex(kNoErrorInWords) + hex("ffffffffffffffff"));
  EXPECT_EQ(wire.say("2300 1000 02000000 0000000000000000 34104000 0080ffff"),
            hex("2300 1000 02000000") + hex(kNoErrorInWords) + hex("3450000000000000"));
}

TEST(KvmiPeerTest, WhatACommandIsNotAllowedToSayIsTold) {
  struct Case {
    const char* bytes;
    const char* says;
  };
  for (const Case& one : {
           Case{"0200 0100 01000000 00", "GET_VERSION has 1 bytes instead of 0"},
           Case{"1100 0f00 01000000 0000000000000000 00100000000000", "its fixed part has 16"},
           Case{"0700 1000 01000000 0000000000000001 0100000000000000", "padding at byte 7"},
           Case{"0700 1000 01000000 0000000000000000 0100000000000080", "padding at byte 15"},
           Case{"0700 1000 01000000 0000000000000000 0200000000000000", "wait 2"},
           Case{"1200 1100 01000000 0000000000000000 0200000000000000 aa",
                "announces 2 entries of 1 bytes and brings 1"},
           Case{"1500 1800 01000000 0000 0200 00000000 0050000000000000 0500000000000000",
                "announces 2 entries"},
           Case{"1500 1800 01000000 0000 0100 00000000 0050000000000000 0200000000000000",
                "SET_PAGE_ACCESS 2"},
           Case{"1400 0800 01000000 0000000000000000", "no command of this dialect has the id 20"},
           Case{"0a00 f91f 01000000", "announces 8185 bytes"},
           Case{"0900 1000 01000000 0000000000000000 0a00 01 0000000000", "event 10"},
       }) {
    Wire wire;
    wire.say(one.bytes);
    EXPECT_THAT(wire.record.violations, ElementsAre(HasSubstr(one.says))) << one.bytes;
  }
}

TEST(KvmiPeerTest, AnUnansweredSequenceNumberIsNotUsedTwice) {
  Wire wire;
  wire.kernel.stop(true);
  wire.say("2200 0800 05000000 0000000000000000");
  wire.say("2200 0800 05000000 0000000000000000");
  EXPECT_THAT(wire.record.violations, ElementsAre(HasSubstr("sequence number 5")));
}

TEST(KvmiPeerTest, HalfAMessageAtTheEndIsTold) {
  Wire wire;
  wire.say("0200 0000 01");
  wire.kernel.detach();
  EXPECT_THAT(wire.record.violations, ElementsAre("the tool hung up after 5 bytes of a message"));
}

}  // namespace
}  // namespace microvmi::test::kvmi
