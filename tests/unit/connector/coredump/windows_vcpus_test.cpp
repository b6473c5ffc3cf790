// SPDX-License-Identifier: Apache-2.0
// Registers of all processors of a Windows crash dump: a kernel with page tables, debugger block
// and processor blocks, put by hand where the structures of the WDK (wdbgexts.h, winnt.h) have
// them.
#include "microvmi/dump.hpp"
#include "support/sizes.hpp"
#include "support/windows_dump.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::WindowsDump;

using test::kPage;
constexpr std::uint64_t kKernel = 0xFFFFF80001234000;  // page 5: the block that the header names
constexpr std::uint64_t kRip = 0xFFFFF80001000000;     // of the header's CONTEXT
constexpr std::uint64_t kRsp = 0xFFFF900000001000;

class WindowsVcpusSimulatedTest : public test::ImageTest {
 protected:
  WindowsVcpusSimulatedTest() : bytes_(dump().image()) {
    // Tables in pages 1 to 4; the kernel's pages 5, 6, 7 follow each other from kKernel on.
    put(1, (kKernel >> 39 & 511) * 8, 2 * kPage | 3);
    put(2, (kKernel >> 30 & 511) * 8, 3 * kPage | 3);
    put(3, (kKernel >> 21 & 511) * 8, 4 * kPage | 3);
    for (std::uint64_t i = 0; i < 3; ++i)
      put(4, ((kKernel >> 12 & 511) + i) * 8, (5 + i) * kPage | 3);
    for (std::uint64_t page = 5; page < 8; ++page)
      for (std::uint64_t at = 0; at < kPage; at += 8) put(page, at, 0);
    bytes_.place(offset(5, 0x10), std::string_view("KDBG")).place(offset(5, 0x14), 0x380, 4);
    put(5, 0x18, 0xFFFFF80001200000);
    put(5, 0x218, kKernel + 0x800);
    bytes_.place(offset(5, 0x338), 0x120, 2);
    for (std::uint64_t i = 0; i < 3; ++i) {
      put(5, 0x800 + 8 * i, kKernel + kPage + 0x200 * i);                    // KiProcessorBlock
      put(6, 0x200 * i + 0x120, kKernel + 2 * kPage + 0x500 * i);            // KPRCB.Context
      bytes_.place(offset(7, 0x500 * i + 0x30), 0x100003, 4);                // ContextFlags
      put(7, 0x500 * i + 0xF8, i == 1 ? kRip : 0xFFFFF80001111000 + i);      // Rip
      put(7, 0x500 * i + 0x98, i == 1 ? kRsp : 0xFFFF900000002000 + 8 * i);  // Rsp
      put(7, 0x500 * i + 0x78, 0xA0 + i);                                    // Rax
    }
  }

  static WindowsDump dump() {
    WindowsDump out;
    out.runs = {{0, 16}};
    out.dtb = kPage | 2;
    return out;
  }
  static std::uint64_t offset(std::uint64_t page, std::uint64_t at) {
    return 0x2000 + page * kPage + at;
  }
  void put(std::uint64_t page, std::uint64_t at, std::uint64_t value) {
    bytes_.place(offset(page, at), value, 8);
  }
  // KPRCB.ProcessorState.SpecialRegisters of all, and why Windows stopped.
  void put_special_registers(std::uint32_t bugcheck) {
    bytes_.place(0x38, bugcheck, 4).place(offset(5, 0x2F2), 0x40, 2);
    for (std::uint64_t i = 0; i < 3; ++i) {
      const auto special = [this, i](std::uint64_t at, std::uint64_t value) {
        put(6, 0x200 * i + 0x40 + at, value);
      };
      special(0x00, 0x80050033);
      special(0x08, 0x7FF0000 + i);
      special(0x10, (0x100 + i) * kPage);
      special(0x18, 0x350EF8);
      special(0x50, 0x57ULL << 48);
      special(0x58, 0xFFFFF80000001000 + i);
      special(0x60, 0xFFFULL << 48);
      special(0x68, 0xFFFFF80000002000 + i);
      special(0x70, 0x40);
      special(0xA8, 0xFFFFF80000003000 + i);
      special(0xB0, 0x7FFDE000 + i);
      special(0xC0, 0xFFFFF80001777000);
    }
  }
  Vm opened() {
    test::write_file(file_, bytes_.bytes());
    auto vm = open();
    EXPECT_TRUE(vm) << vm.error().message;
    return *std::move(vm);
  }

  test::ImageBytes bytes_;
};

TEST_F(WindowsVcpusSimulatedTest, EachProcessorsContextAndTheHeadersAmongThem) {
  Vm vm = opened();
  EXPECT_EQ(value<std::string>(vm, "kernel_base"), "0xfffff80001200000");
  for (std::uint32_t i = 0; i < 3; ++i) {
    const auto ours = vm.read_registers(VcpuId{i});
    ASSERT_TRUE(ours) << i;
    EXPECT_EQ((*ours)[Reg::rip], i == 1 ? kRip : 0xFFFFF80001111000 + i);
    EXPECT_EQ((*ours)[Reg::rax], i == 1 ? 0xAAAA0001U : 0xA0U + i);
    // Which tables another processor used is not in its CONTEXT.
    EXPECT_EQ((*ours)[Reg::cr3].has_value(), i == 1);
  }
}

TEST_F(WindowsVcpusSimulatedTest, AfterACrashTheSpecialRegistersOfEach) {
  put_special_registers(0xD1);
  Vm vm = opened();
  for (std::uint32_t i = 0; i < 3; ++i) {
    const auto ours = vm.read_registers(VcpuId{i});
    ASSERT_TRUE(ours) << i;
    // Of the one that crashed the header's counts.
    EXPECT_EQ((*ours)[Reg::cr3], i == 1 ? kPage | 2U : (0x100U + i) * kPage);
    EXPECT_EQ((*ours)[Reg::rax], i == 1 ? 0xAAAA0001U : 0xA0U + i);
    EXPECT_EQ((*ours)[Reg::cr0], 0x80050033U);
    EXPECT_EQ((*ours)[Reg::cr2], 0x7FF0000U + i);
    EXPECT_EQ((*ours)[Reg::cr4], 0x350EF8U);
    EXPECT_EQ((*ours)[Reg::gdt_limit], 0x57U);
    EXPECT_EQ((*ours)[Reg::gdt_base], 0xFFFFF80000001000U + i);
    EXPECT_EQ((*ours)[Reg::idt_limit], 0xFFFU);
    EXPECT_EQ((*ours)[Reg::idt_base], 0xFFFFF80000002000U + i);
    EXPECT_EQ((*ours)[Reg::tr], 0x40U);
    EXPECT_EQ((*ours)[Reg::gs_base], 0xFFFFF80000003000U + i);
    EXPECT_EQ((*ours)[Reg::kernel_gs_base], 0x7FFDE000U + i);
    EXPECT_EQ((*ours)[Reg::lstar], 0xFFFFF80001777000U);
  }
}

TEST_F(WindowsVcpusSimulatedTest, WhereNothingCrashedTheSpecialRegistersAreOld) {
  put_special_registers(0x161);  // LIVE_SYSTEM_DUMP
  EXPECT_FALSE((*opened().read_registers(VcpuId{0}))[Reg::cr3]);
}

TEST_F(WindowsVcpusSimulatedTest, SpecialRegistersThatNoProcessorHasAreUnknown) {
  put_special_registers(0xD1);
  put(6, 0x40, 0x33);                               // paging is off
  put(6, 0x400 + 0x40 + 0x10, 0x1234567890ABCDEF);  // no physical address
  put(6, 0x200 + 0x40 + 0x18, 0);                   // no PAE in long mode
  Vm vm = opened();
  for (std::uint32_t i = 0; i < 3; ++i) {
    const auto ours = vm.read_registers(VcpuId{i});
    EXPECT_FALSE((*ours)[Reg::cr0]) << i;
    EXPECT_FALSE((*ours)[Reg::lstar]) << i;
    EXPECT_TRUE((*ours)[Reg::rip]) << i;
  }
}

TEST_F(WindowsVcpusSimulatedTest, WhatIsUnknownIsNoZeroInADumpOfIt) {
  Vm vm = opened();
  for (const ImageFormat format : {ImageFormat::elf, ImageFormat::kdump_zlib}) {
    file_ = folder_.path() / name_of(format);
    ASSERT_TRUE(microvmi::dump(vm, file_, {.format = format}));
    auto again = open();
    ASSERT_TRUE(again) << again.error().message;
    for (std::uint32_t i = 0; i < 3; ++i) {
      const Registers before = *vm.read_registers(VcpuId{i});
      const Registers after = *again->read_registers(VcpuId{i});
      for (const Reg reg : {Reg::rax, Reg::rip, Reg::rsp, Reg::cs, Reg::ds, Reg::cs_base, Reg::cr0,
                            Reg::cr3, Reg::idt_base, Reg::kernel_gs_base})
        EXPECT_EQ(after[reg], before[reg])
            << i << ' ' << kRegisters[static_cast<std::size_t>(reg)].name;
    }
  }
}

TEST_F(WindowsVcpusSimulatedTest, WithoutTheBlockTheHeaderIsAllThereIs) {
  bytes_.place(offset(5, 0x10), std::string_view("\x12\x34\x56\x78"));  // as where it is encrypted
  Vm vm = opened();
  EXPECT_FALSE(fact(vm, "kernel_base"));
  EXPECT_EQ((*vm.read_registers(VcpuId{0}))[Reg::rip], kRip);
  EXPECT_TRUE(vm.read_registers(VcpuId{1})->known().none());
}

TEST_F(WindowsVcpusSimulatedTest, WhereNoneIsTheHeadersNobodyKnowsWhichItWas) {
  put(7, 0x500 + 0xF8, 0xFFFFF80002222000);
  Vm vm = opened();
  EXPECT_EQ((*vm.read_registers(VcpuId{0}))[Reg::rip], kRip);
  EXPECT_TRUE(vm.read_registers(VcpuId{2})->known().none());
}

TEST_F(WindowsVcpusSimulatedTest, PointersThatLieLeaveRegistersUnknown) {
  put(6, 0x120, 0xFFFFFFFFFFFFFF80);       // runs over the last address
  put(5, 0x800 + 16, 0x0000800000000000);  // no virtual address at all
  Vm vm = opened();
  EXPECT_TRUE(vm.read_registers(VcpuId{0})->known().none());
  EXPECT_EQ((*vm.read_registers(VcpuId{1}))[Reg::rip], kRip);
  EXPECT_TRUE(vm.read_registers(VcpuId{2})->known().none());
}

}  // namespace
}  // namespace microvmi
