// SPDX-License-Identifier: Apache-2.0
// Registers between Xen's structures, filled by the names of their fields, and ours.
#include "driver/xen/state.hpp"

#include <gtest/gtest.h>

#include "unit/driver/xen/vendor.hpp"

namespace microvmi::xen {
namespace {

// A number of its own for each register, as wide as it is.
std::uint64_t number(Reg reg) {
  const auto index = static_cast<std::size_t>(reg);
  const std::uint64_t value = 0x0101010101010101ULL * (index + 1);
  const unsigned bits = kRegisters[index].bits;
  return bits == 64 ? value : value & ((1ULL << bits) - 1);
}

std::uint64_t attributes_of(Reg reg) {
  return reg == Reg::cs_attributes ? test::xen::kCodeAttributes : test::xen::kDataAttributes;
}

bool is_attributes(const RegisterInfo& info) {
  return std::string_view(info.name).ends_with("_attributes");
}
bool is_limit(const RegisterInfo& info) {
  return std::string_view(info.name).ends_with("_limit") && info.bits == 32;
}

TEST(XenState, AnHvmRecordHasEachRegisterAtItsField) {
  const Registers out = registers_of_hvm(test::xen::hvm_record(number));
  std::size_t known = 0;
  for (const RegisterInfo& info : kRegisters) {
    const auto value = out[info.reg];
    known += value ? 1 : 0;
    if (value) {
      EXPECT_EQ(*value, is_attributes(info) ? attributes_of(info.reg) : number(info.reg))
          << info.name;
    }
  }
  EXPECT_EQ(known, kRegisters.size() - 4);
  for (const Reg reg : {Reg::cr8, Reg::xcr0, Reg::apic_base, Reg::pat}) EXPECT_FALSE(out[reg]);
}

TEST(XenState, WhatIsWrittenToAnHvmRecordIsReadBackAndTheRestStays) {
  const test::xen::Bytes before = test::xen::hvm_record(number);
  for (const RegisterInfo& info : kRegisters) {
    test::xen::Bytes record = before;
    Registers wanted;
    wanted.set(info.reg, is_attributes(info) ? 0xb09bU : ~number(info.reg));
    Registers expected = registers_of_hvm(before);
    const auto done = change_hvm(record, wanted);
    ASSERT_EQ(done.has_value(), expected[info.reg].has_value()) << info.name;
    if (done) expected.set(info.reg, *wanted[info.reg]);
    EXPECT_EQ(registers_of_hvm(record), expected) << info.name;
    if (!done) {
      EXPECT_EQ(done.error().code, Errc::not_supported);
    }
  }
}

TEST(XenState, AShortHvmRecordTellsNothing) {
  test::xen::Bytes record = test::xen::hvm_record(number);
  record.pop_back();
  EXPECT_TRUE(registers_of_hvm(record).known().none());
  EXPECT_TRUE(registers_of_pv(record).known().none());
  EXPECT_TRUE(registers_of_event({}).known().none());
}

TEST(XenState, APvContextTellsWhatIsInUse) {
  for (const bool in_kernel : {true, false}) {
    const test::xen::Bytes context = test::xen::pv_context(number, in_kernel);
    const Registers out = registers_of_pv(context);
    for (const RegisterInfo& info : kRegisters)
      if (const auto value = out[info.reg]; value && info.reg != Reg::efer) {
        EXPECT_EQ(*value, number(info.reg)) << info.name << in_kernel;
      }
    for (const Reg reg : {Reg::rip, Reg::cr3, Reg::gs_base, Reg::kernel_gs_base, Reg::gs, Reg::dr7})
      EXPECT_TRUE(out[reg]) << static_cast<int>(reg);
    for (const Reg reg : {Reg::cs_base, Reg::lstar, Reg::gdt_base, Reg::tr})
      EXPECT_FALSE(out[reg]) << static_cast<int>(reg);
    for (const Reg reg : {Reg::gs_base, Reg::kernel_gs_base, Reg::r9}) {
      test::xen::Bytes changed = context;
      Registers wanted;
      wanted.set(reg, 0x1234);
      Registers expected = out;
      expected.set(reg, 0x1234);
      ASSERT_TRUE(change_pv(changed, wanted));
      EXPECT_EQ(registers_of_pv(changed), expected);
    }
    test::xen::Bytes changed = context;
    Registers wanted;
    wanted.set(Reg::cr3, 0x1000);
    EXPECT_EQ(change_pv(changed, wanted).error().code, Errc::not_supported);
  }
}

TEST(XenState, AnEventTellsLimitsInBytes) {
  const Registers out = registers_of_event(test::xen::event_regs(number));
  for (const RegisterInfo& info : kRegisters) {
    const auto value = out[info.reg];
    if (!value) continue;
    std::uint64_t expected = number(info.reg);
    if (is_attributes(info)) expected = attributes_of(info.reg);
    if (is_limit(info)) expected |= 0xfff;  // both have G
    // Bases of cs, ss, ds and es come in 32 bits.
    const bool narrow = info.reg == Reg::cs_base || info.reg == Reg::ss_base ||
                        info.reg == Reg::ds_base || info.reg == Reg::es_base;
    EXPECT_EQ(*value, narrow ? expected & 0xffffffff : expected) << info.name;
  }
  for (const Reg reg : {Reg::rip, Reg::r15, Reg::efer, Reg::gs_limit, Reg::kernel_gs_base})
    EXPECT_TRUE(out[reg]);
  for (const Reg reg : {Reg::idt_base, Reg::tr, Reg::dr0}) EXPECT_FALSE(out[reg]);
}

TEST(XenState, AnAnswerTakesGeneralRegistersAlone) {
  test::xen::Bytes regs = test::xen::event_regs(number);
  Registers wanted;
  wanted.set(Reg::rip, 0x1000);
  wanted.set(Reg::r11, 0x1100);
  EXPECT_TRUE(fits_event(wanted));
  change_event(regs, wanted);
  const Registers out = registers_of_event(regs);
  EXPECT_EQ(out[Reg::rip], 0x1000U);
  EXPECT_EQ(out[Reg::r11], 0x1100U);
  EXPECT_EQ(out[Reg::rax], number(Reg::rax));
  wanted.set(Reg::cr3, 0);
  EXPECT_FALSE(fits_event(wanted));
}

TEST(XenState, TheRecordOfAVcpuIsFoundInAWholeContext) {
  const auto same = [](std::uint64_t value) { return [value](Reg) { return value; }; };
  test::xen::Bytes context =
      test::xen::hvm_context({test::xen::hvm_record(same(1)), test::xen::hvm_record(same(2))});
  EXPECT_EQ(registers_of_hvm(hvm_record_in(context, kHvmCpuCode, 1))[Reg::rax], 2U);
  EXPECT_TRUE(hvm_record_in(context, kHvmCpuCode, 2).empty());
  EXPECT_TRUE(hvm_record_in(context, kHvmLapicCode, 0).empty());
  for (std::size_t size = 0; size < context.size(); size += 7) {
    const auto cut = hvm_record_in(std::span(context).first(size), kHvmCpuCode, 1);
    EXPECT_TRUE(cut.empty() || cut.size() == kHvmCpuSize);
  }
}

}  // namespace
}  // namespace microvmi::xen
