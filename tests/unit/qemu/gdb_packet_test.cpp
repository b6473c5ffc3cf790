// SPDX-License-Identifier: Apache-2.0
// Frames, escapes, runs and stop replies of the gdb remote protocol; those that are broken.
#include "qemu/gdb_packet.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qemu/gdb_registers.hpp"

namespace microvmi::qemu {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(GdbPacketTest, AFrameHasItsChecksum) {
  EXPECT_EQ(gdb_frame("g"), "$g#67");
  EXPECT_EQ(gdb_frame(""), "$#00");
  EXPECT_EQ(gdb_frame("vCont;c"), "$vCont;c#a8");
  EXPECT_EQ(gdb_frame("a#b"),
            "$a}\x03"
            "b#43");
}

TEST(GdbPacketTest, PacketsComeInAnyPieces) {
  const std::string all = "+$OK#9a++$T05thread:02;#08$#00";
  for (std::size_t piece = 1; piece <= all.size(); ++piece) {
    GdbFramer framer;
    std::vector<std::string> out;
    for (std::size_t at = 0; at < all.size(); at += piece) {
      const auto came = framer.feed(std::string_view(all).substr(at, piece));
      ASSERT_TRUE(came) << to_text(came.error());
      out.insert(out.end(), came->begin(), came->end());
    }
    EXPECT_THAT(out, ElementsAre("OK", "T05thread:02;", ""));
  }
}

TEST(GdbPacketTest, EscapesAndRunsAreUndone) {
  GdbFramer framer;
  EXPECT_EQ(framer
                .feed("$a}\x03"
                      "b#43")
                ->front(),
            "a#b");
  // The GDB manual's own example: "0* " is four zeros.
  EXPECT_EQ(framer.feed("$0* #7a")->front(), "0000");
}

TEST(GdbPacketTest, BrokenOnesAreRefused) {
  for (const char* bytes : {"$g#68", "$g#6x", "-", "hello", "$a$b#00", "$*a#8b", "$0*\x1f#79"}) {
    GdbFramer framer;
    const auto out = framer.feed(bytes);
    ASSERT_FALSE(out) << bytes;
    EXPECT_EQ(out.error().code, Errc::protocol);
  }
  GdbFramer framer;
  EXPECT_FALSE(framer.feed("$" + std::string(kMaxGdbPacket + 2, 'a'))) << "too long";
}

TEST(GdbPacketTest, StopRepliesTellWhoAndWhy) {
  const auto step = parse_gdb_stop("T05thread:02;");
  ASSERT_TRUE(step);
  EXPECT_EQ(step->signal, kSigTrap);
  EXPECT_EQ(step->thread, 2U);
  const auto watch = parse_gdb_stop("T05thread:p01.1f;awatch:ffff900000001000;");
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->thread, 0x1fU);
  EXPECT_EQ(watch->watch, GdbStop::Watch::access);
  EXPECT_EQ(watch->address, 0xffff900000001000U);
  EXPECT_EQ(parse_gdb_stop("S02")->signal, kSigInt);
  EXPECT_EQ(trouble_of(*parse_gdb_stop("S02")), nullptr);
  EXPECT_EQ(trouble_of(*parse_gdb_stop("T05thread:01;")), nullptr);
  EXPECT_STREQ(trouble_of(*parse_gdb_stop("T03thread:01;")), "the guest was shut down");
  EXPECT_THAT(trouble_of(*parse_gdb_stop("T06thread:01;")),
              testing::HasSubstr("an internal error"));
  EXPECT_EQ(parse_gdb_stop("W00").error().code, Errc::disconnected);
  for (const char* bad : {"", "T", "T0", "OK", "T05thread:;", "T05thread:0;", "T05thread:-1;",
                          "T05thread:p;", "T05watch:;", "Txx"})
    EXPECT_FALSE(parse_gdb_stop(bad)) << bad;
}

// A description in two documents, of which the second is included.
Expected<std::string> document(const std::string& name) {
  if (name == "target.xml")
    return "<?xml version=\"1.0\"?><!-- <reg name=\"no\" bitsize=\"8\"/> --><target>"
           "<architecture>i386:x86-64</architecture><xi:include href=\"core.xml\"/></target>";
  return "<feature><reg name=\"rax\" bitsize=\"64\" type=\"int\" regnum=\"0\"/>\n"
         "<reg name='eflags' bitsize='32'/><reg name=\"k_gs_base\" bitsize=\"64\"/>"
         "<reg name=\"xmm0\" bitsize=\"128\"/><reg name=\"efer\" bitsize=\"64\"/></feature>";
}

TEST(GdbRegistersTest, TheDescriptionTellsWhereEachIs) {
  const auto layout = read_gdb_layout(document);
  ASSERT_TRUE(layout) << to_text(layout.error());
  EXPECT_TRUE(layout->is_x86());
  EXPECT_EQ(layout->size, 44U);
  const auto regs = parse_gdb_registers(*layout,
                                        "efcdab8967452301"
                                        "02020000"
                                        "xxxxxxxxxxxxxxxx"
                                        "00000000000000000000000000000000"
                                        "000d000000000000");
  ASSERT_TRUE(regs);
  EXPECT_EQ((*regs)[Reg::rax], 0x0123456789abcdefU);
  EXPECT_EQ((*regs)[Reg::rflags], 0x202U);
  EXPECT_EQ((*regs)[Reg::kernel_gs_base], std::nullopt) << "the stub does not know it";
  EXPECT_EQ((*regs)[Reg::efer], 0xd00U);
  const GdbRegister* const gs = find_gdb_register(*layout, Reg::kernel_gs_base);
  ASSERT_TRUE(gs);
  EXPECT_EQ(gs->number, 2U);
  EXPECT_EQ(gdb_value(*gs, 0x1122334455667788), "8877665544332211");
  EXPECT_EQ(find_gdb_register(*layout, Reg::lstar), nullptr);
}

TEST(GdbRegistersTest, HostileDescriptionsAndAnswersAreRefused) {
  const auto layout_of = [](std::string text) {
    return read_gdb_layout([text](const std::string&) -> Expected<std::string> { return text; });
  };
  EXPECT_FALSE(layout_of(""));
  EXPECT_FALSE(layout_of("<xi:include href=\"target.xml\"/>")) << "includes itself";
  EXPECT_FALSE(layout_of("<reg name=\"rax\" bitsize=\"7\"/>"));
  EXPECT_FALSE(layout_of("<reg name=\"rax\" bitsize=\"99999999\"/>"));
  EXPECT_FALSE(layout_of("<reg name=\"rax\" bitsize=\"64\""));
  const auto layout = read_gdb_layout(document);
  EXPECT_FALSE(parse_gdb_registers(*layout, std::string(2 * 45, '0'))) << "more than announced";
  EXPECT_FALSE(parse_gdb_registers(*layout, "zz00000000000000"));
  EXPECT_TRUE(parse_gdb_registers(*layout, "")->known().none());
}

}  // namespace
}  // namespace microvmi::qemu
