// SPDX-License-Identifier: Apache-2.0
// Registers between KVM's structures and ours; the offsets are those of asm/kvm.h.
#include "driver/kvm/state.hpp"

#include <gmock/gmock.h>

#include "unit/driver/kvm/bytes.hpp"

namespace microvmi::kvm {
namespace {

using test::put;

// get_registers' answer with these msrs.
Bytes answer(std::initializer_list<std::pair<std::uint32_t, std::uint64_t>> msrs) {
  Bytes out(472 + 16 * msrs.size());
  put(out, 0, 4, 8);
  put(out, 8 + 0, 8, 0xa);      // rax
  put(out, 8 + 48, 8, 0xb);     // rsp
  put(out, 8 + 128, 8, 0xc);    // rip
  put(out, 8 + 136, 8, 0x202);  // rflags
  const std::size_t sregs = 152;
  put(out, sregs + 240, 8, 0x1000);                 // cr3
  put(out, sregs + 264, 8, 0xd01);                  // efer
  put(out, sregs + 192, 8, 0xffff'8000'0000'0000);  // gdt base
  put(out, sregs + 200, 2, 0x7f);                   // gdt limit
  // cs: a 64-bit code segment of ring 0
  put(out, sregs + 8, 4, 0xffffffff);
  put(out, sregs + 12, 2, 0x10);
  put(out, sregs + 14, 1, 11);                                                       // type
  for (const std::size_t flag : {15U, 18U, 19U, 20U}) put(out, sregs + flag, 1, 1);  // p s l g
  put(out, sregs + 168 + 22, 1, 1);  // ldt is unusable
  put(out, sregs + 168 + 15, 1, 1);
  put(out, 464, 4, msrs.size());
  std::size_t at = 472;
  for (const auto& [index, value] : msrs) {
    put(out, at, 4, index);
    put(out, at + 8, 8, value);
    at += 16;
  }
  return out;
}

TEST(KvmiState, EveryRegisterThatIsToldIsKnownAndNoOther) {
  const std::array<std::uint32_t, 2> asked{0xc0000082, 0x174};
  const auto registers = registers_of_answer(answer({{0xc0000082, 0xdead}, {0x174, 0x33}}), asked);
  ASSERT_TRUE(registers);
  EXPECT_EQ((*registers)[Reg::rax], 0xa);
  EXPECT_EQ((*registers)[Reg::rsp], 0xb);
  EXPECT_EQ((*registers)[Reg::rip], 0xc);
  EXPECT_EQ((*registers)[Reg::rflags], 0x202);
  EXPECT_EQ((*registers)[Reg::cr3], 0x1000);
  EXPECT_EQ((*registers)[Reg::gdt_base], 0xffff'8000'0000'0000);
  EXPECT_EQ((*registers)[Reg::gdt_limit], 0x7f);
  EXPECT_EQ((*registers)[Reg::cs], 0x10);
  EXPECT_EQ((*registers)[Reg::cs_limit], 0xffffffff);
  EXPECT_EQ((*registers)[Reg::cs_attributes], 0xa09b) << "Intel SDM 3A 3.4.5: G L P S, type 11";
  EXPECT_EQ((*registers)[Reg::ldt_attributes], 0) << "not present where it is unusable";
  EXPECT_EQ((*registers)[Reg::lstar], 0xdead);
  EXPECT_EQ((*registers)[Reg::sysenter_cs], 0x33);
  EXPECT_EQ((*registers)[Reg::star], std::nullopt) << "nobody asked for it";
  EXPECT_EQ((*registers)[Reg::dr7], std::nullopt);
  EXPECT_EQ((*registers)[Reg::xcr0], std::nullopt);
}

TEST(KvmiState, AnAnswerToAnotherQuestionIsRefused) {
  const std::array<std::uint32_t, 1> asked{0x174};
  EXPECT_TRUE(registers_of_answer(answer({}), {}));
  EXPECT_FALSE(registers_of_answer(answer({}), asked));
  EXPECT_FALSE(registers_of_answer(answer({{0x175, 1}}), asked));
  Bytes cut = answer({{0x174, 1}});
  cut.pop_back();
  EXPECT_FALSE(registers_of_answer(cut, asked));
  EXPECT_FALSE(registers_of_answer({}, {}));
  EXPECT_FALSE(registers_of_answer(std::span(cut).first(400), {}));
}

TEST(KvmiState, OnlyTheKnownOnesAreWritten) {
  Regs regs = regs_of_answer(answer({}));
  Registers wanted;
  wanted.set(Reg::r15, 0x1122334455667788);
  wanted.set(Reg::rip, 0x4000);
  ASSERT_TRUE(change(regs, wanted));
  EXPECT_EQ(load(regs, 120, 8), 0x1122334455667788);
  EXPECT_EQ(load(regs, 128, 8), 0x4000U);
  EXPECT_EQ(load(regs, 0, 8), 0xaU) << "rax stays";
  Registers shown;
  show(regs, shown);
  EXPECT_EQ(shown.known().count(), 18U);
  wanted.set(Reg::cr3, 1);
  const auto refused = change(regs, wanted);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_supported);
  EXPECT_NE(refused.error().message.find("cr3"), std::string::npos);
}

TEST(KvmiState, AnEventWithoutRegistersTellsNone) {
  EXPECT_TRUE(registers_of(EventMessage{}).known().none());
  const Bytes regs(kRegsSize);
  EXPECT_EQ(registers_of(EventMessage{.regs = regs}).known().count(), 18U);
}

}  // namespace
}  // namespace microvmi::kvm
