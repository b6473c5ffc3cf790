// SPDX-License-Identifier: Apache-2.0
// Structures of vCPUs as their own headers declare them, against what is read from the bytes.
#include "connector/coredump/vcpu_notes.hpp"

#include <gtest/gtest.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include <array>
#include <cstring>

#include "support/elf_image.hpp"

namespace microvmi::coredump_connector {
namespace {

using enum Reg;
using Pairs = std::vector<std::pair<Reg, std::uint64_t>>;

// Every byte of it differs from its neighbours.
template <class T>
T filled() {
  T out{};
  const auto bytes = test::pattern(sizeof(T), 7);
  std::memcpy(&out, bytes.data(), sizeof(T));
  return out;
}

template <class T>
std::vector<std::byte> bytes_of(const T& value) {
  std::vector<std::byte> bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

void expect(const std::optional<Registers>& ours, const Pairs& pairs) {
  ASSERT_TRUE(ours);
  for (const auto& [reg, value] : pairs)
    EXPECT_EQ((*ours)[reg], value) << kRegisters[static_cast<std::size_t>(reg)].name;
}

TEST(VcpuNotes, PrstatusIsThatOfTheSystemsHeader) {
  const auto status = filled<elf_prstatus>();
  user_regs_struct regs{};
  static_assert(sizeof(regs) == sizeof(status.pr_reg));
  std::memcpy(&regs, &status.pr_reg, sizeof(regs));
  const auto ours = prstatus_registers(bytes_of(status));
  expect(ours, {{rax, regs.rax},         {rbx, regs.rbx},         {rcx, regs.rcx},
                {rdx, regs.rdx},         {rsi, regs.rsi},         {rdi, regs.rdi},
                {rbp, regs.rbp},         {rsp, regs.rsp},         {r8, regs.r8},
                {r9, regs.r9},           {r10, regs.r10},         {r11, regs.r11},
                {r12, regs.r12},         {r13, regs.r13},         {r14, regs.r14},
                {r15, regs.r15},         {rip, regs.rip},         {rflags, regs.eflags},
                {fs_base, regs.fs_base}, {gs_base, regs.gs_base}, {cs, regs.cs & 0xFFFF},
                {ss, regs.ss & 0xFFFF},  {ds, regs.ds & 0xFFFF},  {es, regs.es & 0xFFFF},
                {fs, regs.fs & 0xFFFF},  {gs, regs.gs & 0xFFFF}});
  EXPECT_FALSE((*ours)[cr3]) << "it has none";
}

// linux/elfcore.h and asm/user_32.h of a 32-bit build.
struct Prstatus32 {
  std::array<std::uint32_t, 18> head;
  std::uint32_t ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, orig_eax, eip, cs, eflags, esp,
      ss;
  std::uint32_t fpvalid;
};

TEST(VcpuNotes, PrstatusOfA32BitKernel) {
  const auto status = filled<Prstatus32>();
  static_assert(sizeof(status) == 144);
  expect(prstatus_registers(bytes_of(status)), {{rax, status.eax},
                                                {rbx, status.ebx},
                                                {rcx, status.ecx},
                                                {rdx, status.edx},
                                                {rsi, status.esi},
                                                {rdi, status.edi},
                                                {rbp, status.ebp},
                                                {rsp, status.esp},
                                                {rip, status.eip},
                                                {rflags, status.eflags},
                                                {cs, status.cs & 0xFFFF},
                                                {ss, status.ss & 0xFFFF},
                                                {ds, status.ds & 0xFFFF},
                                                {es, status.es & 0xFFFF},
                                                {fs, status.fs & 0xFFFF},
                                                {gs, status.gs & 0xFFFF}});
}

// VBox/vmm/dbgfcorefmt.h.
struct VirtualboxSelector {
  std::uint64_t base;
  std::uint32_t limit, attributes;
  std::uint16_t selector, reserved0;
  std::uint32_t reserved1;
};
struct VirtualboxTable {
  std::uint64_t address;
  std::uint32_t size, reserved;
};
struct VirtualboxCpu {
  std::uint64_t rax, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rip, rsp, rbp,
      rflags;
  VirtualboxSelector cs, ds, es, fs, gs, ss;
  std::uint64_t cr0, cr2, cr3, cr4;
  std::array<std::uint64_t, 8> dr;
  VirtualboxTable gdtr, idtr;
  VirtualboxSelector ldtr, tr;
  struct {
    std::uint64_t cs, eip, esp;
  } sysenter;
  std::uint64_t efer, star, pat, lstar, cstar, sfmask, kernel_gs_base, apic_base, tsc_aux;
};

TEST(VcpuNotes, VirtualboxSimulated) {
  const auto cpu = filled<VirtualboxCpu>();
  const auto ours = virtualbox_registers(bytes_of(cpu));
  expect(ours, {{rax, cpu.rax},
                {rdi, cpu.rdi},
                {r8, cpu.r8},
                {r15, cpu.r15},
                {rip, cpu.rip},
                {rsp, cpu.rsp},
                {rbp, cpu.rbp},
                {rflags, cpu.rflags},
                {cr0, cpu.cr0},
                {cr2, cpu.cr2},
                {cr3, cpu.cr3},
                {cr4, cpu.cr4},
                {dr0, cpu.dr[0]},
                {dr3, cpu.dr[3]},
                {dr6, cpu.dr[6]},
                {dr7, cpu.dr[7]},
                {efer, cpu.efer},
                {star, cpu.star},
                {pat, cpu.pat},
                {lstar, cpu.lstar},
                {cstar, cpu.cstar},
                {fmask, cpu.sfmask},
                {kernel_gs_base, cpu.kernel_gs_base},
                {apic_base, cpu.apic_base},
                {sysenter_cs, cpu.sysenter.cs},
                {sysenter_eip, cpu.sysenter.eip},
                {sysenter_esp, cpu.sysenter.esp}});
  expect(ours, {{cs, cpu.cs.selector},
                {cs_base, cpu.cs.base},
                {cs_limit, cpu.cs.limit},
                {cs_attributes, cpu.cs.attributes & 0xF0FF},
                {ss, cpu.ss.selector},
                {gs_base, cpu.gs.base},
                {tr_base, cpu.tr.base},
                {ldt, cpu.ldtr.selector},
                {gdt_base, cpu.gdtr.address},
                {gdt_limit, cpu.gdtr.size & 0xFFFF},
                {idt_base, cpu.idtr.address},
                {idt_limit, cpu.idtr.size & 0xFFFF}});
  EXPECT_FALSE((*ours)[tsc_aux]) << "older files have another register there";
}

// xen/public/arch-x86/xen.h and xen-x86_64.h.
struct XenContext {
  std::array<std::uint8_t, 512> fpu;
  std::uint64_t flags;
  std::uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  std::uint32_t error_code, entry_vector;
  std::uint64_t rip;
  std::uint16_t cs, pad0;
  std::uint32_t upcall_mask;
  std::uint64_t rflags, rsp;
  std::uint16_t ss;
  std::array<std::uint16_t, 3> pad1;
  std::uint16_t es;
  std::array<std::uint16_t, 3> pad2;
  std::uint16_t ds;
  std::array<std::uint16_t, 3> pad3;
  std::uint16_t fs;
  std::array<std::uint16_t, 3> pad4;
  std::uint16_t gs;
  std::array<std::uint16_t, 3> pad5;
  std::array<std::uint64_t, 512> traps;
  std::uint64_t ldt_base, ldt_entries;
  std::array<std::uint64_t, 16> gdt_frames;
  std::uint64_t gdt_entries, kernel_ss, kernel_sp;
  std::array<std::uint64_t, 8> control, debug;
  std::array<std::uint64_t, 3> callbacks;
  std::uint64_t vm_assist, fs_base, gs_base_kernel, gs_base_user;
};
static_assert(sizeof(XenContext) == kXenContextSize);

TEST(VcpuNotes, XenSimulated) {
  auto context = filled<XenContext>();
  context.cs = 0x10;  // the kernel
  const auto ours = xen_registers(bytes_of(context), true);
  expect(ours, {{rax, context.rax},
                {r15, context.r15},
                {r8, context.r8},
                {rdi, context.rdi},
                {rip, context.rip},
                {rsp, context.rsp},
                {rflags, context.rflags},
                {cs, context.cs},
                {ss, context.ss},
                {ds, context.ds},
                {es, context.es},
                {fs, context.fs},
                {gs, context.gs},
                {cr0, context.control[0]},
                {cr2, context.control[2]},
                {cr3, context.control[3]},
                {cr4, context.control[4]},
                {dr0, context.debug[0]},
                {dr6, context.debug[6]},
                {dr7, context.debug[7]},
                {fs_base, context.fs_base},
                {gs_base, context.gs_base_kernel},
                {kernel_gs_base, context.gs_base_user}});
  context.cs = 0x33;
  expect(xen_registers(bytes_of(context), true),
         {{gs_base, context.gs_base_user}, {kernel_gs_base, context.gs_base_kernel}});
  EXPECT_FALSE((*xen_registers(bytes_of(context), false))[cr3]) << "a machine address";
}

TEST(VcpuNotes, WhatIsTooShortOrAnotherVersionIsNone) {
  std::vector<std::byte> note(440);
  EXPECT_FALSE(qemu_registers(note)) << "version 0";
  note[0] = std::byte{1};
  EXPECT_FALSE(qemu_registers(note)) << "says that it has no bytes";
  note[4] = std::byte{0xB8};
  note[5] = std::byte{1};
  EXPECT_TRUE(qemu_registers(note));
  EXPECT_TRUE((*qemu_registers(note))[kernel_gs_base]);
  EXPECT_FALSE((*qemu_registers(std::span(note).first(432)))[kernel_gs_base]) << "before QEMU 5";
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{431}})
    EXPECT_FALSE(qemu_registers(std::span(note).first(size)));
  EXPECT_FALSE(prstatus_registers(note)) << "of another architecture";
  EXPECT_FALSE(virtualbox_registers(note));
  EXPECT_FALSE(xen_registers(note, true));
}

}  // namespace
}  // namespace microvmi::coredump_connector
