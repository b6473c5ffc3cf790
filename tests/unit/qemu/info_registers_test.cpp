// SPDX-License-Identifier: Apache-2.0
// `info registers -a` of QEMU 7.2 as values, and texts that are none.
#include "qemu/info_registers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace microvmi::qemu {
namespace {

// As QEMU 7.2 printed it for the tiny guest, and for a vCPU that waits for its start.
constexpr const char* kText = R"(
CPU#0
RAX=0000000000113060 RBX=a0b0c0d0e0f00000 RCX=a0b0c0d0e0f00101 RDX=00000000000003fd
RSI=a0b0c0d0e0f00202 RDI=a0b0c0d0e0f00303 RBP=a0b0c0d0e0f00404 RSP=0000000000117470
R8 =a0b0c0d0e0f00606 R9 =a0b0c0d0e0f00707 R10=a0b0c0d0e0f00808 R11=a0b0c0d0e0f00909
RIP=0000000000100346 RFL=00000006 [-----P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
FS =0010 00000f5000000f50 ffffffff 00cf9300 DPL=0 DS   [-WA]
LDT=0000 0000000000000000 0000ffff 00008200 DPL=0 LDT
TR =0018 0000000000117000 00000067 00008900 DPL=0 TSS64-avl
GDT=     0000000000102000 00000027
IDT=     0000000000117070 000001ff
CR0=80010031 CR2=0000000c0ffee000 CR3=0000000000103000 CR4=000000a0
DR0=000000000d0d0000 DR1=000000000d1d1000 DR2=000000000d2d2000 DR3=000000000d3d3000 
DR6=00000000ffff0ff0 DR7=0000000000000400
EFER=0000000000000d01
FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80
FPR0=0000000000000000 0000 FPR1=0000000000000000 0000
XMM00=0000000000000000 0000000000000000 XMM01=0000000000000000 0000000000000000

CPU#3
EAX=000f49f6 EBX=00000000 ECX=000002ff EDX=00000001
EIP=000fd09a EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1
CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]
GDT=     000f6180 00000037
CR0=00000011 CR2=00000000 CR3=00000000 CR4=00000000
EFER=0000000000000000
)";

TEST(InfoRegistersTest, EveryRegisterThatIsToldIsKnown) {
  const auto states = parse_info_registers(kText);
  ASSERT_TRUE(states) << to_text(states.error());
  ASSERT_EQ(states->size(), 2U);
  const Registers& regs = states->front().registers;
  EXPECT_EQ(regs[Reg::rax], 0x113060U);
  EXPECT_EQ(regs[Reg::r8], 0xa0b0c0d0e0f00606U);
  EXPECT_EQ(regs[Reg::rip], 0x100346U);
  EXPECT_EQ(regs[Reg::rflags], 6U);
  EXPECT_EQ(regs[Reg::cs], 8U);
  EXPECT_EQ(regs[Reg::cs_limit], 0xffffffffU);
  EXPECT_EQ(regs[Reg::cs_attributes], 0xa09bU) << "G and L, code, present";
  EXPECT_EQ(regs[Reg::fs_base], 0xf5000000f50U);
  EXPECT_EQ(regs[Reg::tr_base], 0x117000U);
  EXPECT_EQ(regs[Reg::gdt_base], 0x102000U);
  EXPECT_EQ(regs[Reg::idt_limit], 0x1ffU);
  EXPECT_EQ(regs[Reg::cr2], 0xc0ffee000U);
  EXPECT_EQ(regs[Reg::dr3], 0xd3d3000U);
  EXPECT_EQ(regs[Reg::dr7], 0x400U);
  EXPECT_EQ(regs[Reg::efer], 0xd01U);
  for (const Reg reg : {Reg::cr8, Reg::lstar, Reg::kernel_gs_base, Reg::r12, Reg::gs})
    EXPECT_EQ(regs[reg], std::nullopt) << "it is not in the text";
}

TEST(InfoRegistersTest, AVcpuIn32BitModeHasNoUpperHalf) {
  const auto states = parse_info_registers(kText);
  ASSERT_TRUE(states);
  EXPECT_EQ(states->back().index, 3U);
  const Registers& regs = states->back().registers;
  EXPECT_EQ(regs[Reg::rax], 0xf49f6U);
  EXPECT_EQ(regs[Reg::rip], 0xfd09aU);
  EXPECT_EQ(regs[Reg::r8], std::nullopt);
  EXPECT_EQ(regs[Reg::cs_base], 0U);
}

TEST(InfoRegistersTest, CompatibilityModeLeavesTheBasesOfFsAndGsUnknown) {
  const auto states = parse_info_registers(
      "CPU#0\r\nEIP=00001000 EFL=00000002\r\nFS =002b 00000f50 ffffffff 00cff300\r\n"
      "CS =0023 00000000 ffffffff 00cffb00\r\nEFER=0000000000000500\r\n");
  ASSERT_TRUE(states);
  EXPECT_EQ(states->front().registers[Reg::fs], 0x2bU);
  EXPECT_EQ(states->front().registers[Reg::fs_base], std::nullopt) << "half of it is not told";
}

TEST(InfoRegistersTest, NonsenseIsRefused) {
  for (const char* text :
       {"", "RIP=1\n", "CPU#\nRIP=1\n", "CPU#x\n", "CPU#0\n", "CPU#0\nRIP=zz\n",
        "CPU#0\nRIP=1\nCS =0008 00\n", "CPU#0\nRIP=1\nGDT= 1\n", "CPU#0\nRIP=1\n\nCPU#0\nRIP=2\n",
        "CPU#4294967296\nRIP=1\n", "CPU#0\nRIP=11112222333344445\n", "CPU#0 \nPC=1 PSTATE=3\n"}) {
    const auto states = parse_info_registers(text);
    ASSERT_FALSE(states) << text;
    EXPECT_EQ(states.error().code, Errc::protocol);
  }
}

}  // namespace
}  // namespace microvmi::qemu
