// SPDX-License-Identifier: Apache-2.0
// Tables of offsets, one for each structure.
#include "connector/coredump/vcpu_notes.hpp"

#include <algorithm>
#include <array>

#include "connector/coredump/fields.hpp"

namespace microvmi::coredump_connector {
namespace {

using enum Reg;

struct SegmentField {
  Reg selector;
  Reg base;
  Reg limit;
  Reg flags;
  std::uint16_t at;
};

constexpr std::array kQemuPlain{RegisterField{rax, 0x08, 8},
                                RegisterField{rbx, 0x10, 8},
                                RegisterField{rcx, 0x18, 8},
                                RegisterField{rdx, 0x20, 8},
                                RegisterField{rsi, 0x28, 8},
                                RegisterField{rdi, 0x30, 8},
                                RegisterField{rsp, 0x38, 8},
                                RegisterField{rbp, 0x40, 8},
                                RegisterField{r8, 0x48, 8},
                                RegisterField{r9, 0x50, 8},
                                RegisterField{r10, 0x58, 8},
                                RegisterField{r11, 0x60, 8},
                                RegisterField{r12, 0x68, 8},
                                RegisterField{r13, 0x70, 8},
                                RegisterField{r14, 0x78, 8},
                                RegisterField{r15, 0x80, 8},
                                RegisterField{rip, 0x88, 8},
                                RegisterField{rflags, 0x90, 8},
                                RegisterField{gdt_base, 0x168, 8},
                                RegisterField{gdt_limit, 0x15C, 4},
                                RegisterField{idt_base, 0x180, 8},
                                RegisterField{idt_limit, 0x174, 4},
                                RegisterField{cr0, 0x188, 8},
                                RegisterField{cr2, 0x198, 8},
                                RegisterField{cr3, 0x1A0, 8},
                                RegisterField{cr4, 0x1A8, 8},
                                RegisterField{kernel_gs_base, 0x1B0, 8}};

constexpr std::array kQemuSegments{SegmentField{cs, cs_base, cs_limit, cs_attributes, 0x098},
                                   SegmentField{ds, ds_base, ds_limit, ds_attributes, 0x0B0},
                                   SegmentField{es, es_base, es_limit, es_attributes, 0x0C8},
                                   SegmentField{fs, fs_base, fs_limit, fs_attributes, 0x0E0},
                                   SegmentField{gs, gs_base, gs_limit, gs_attributes, 0x0F8},
                                   SegmentField{ss, ss_base, ss_limit, ss_attributes, 0x110},
                                   SegmentField{ldt, ldt_base, ldt_limit, ldt_attributes, 0x128},
                                   SegmentField{tr, tr_base, tr_limit, tr_attributes, 0x140}};

constexpr std::array kPrstatus64{
    RegisterField{r15, 0x70, 8},      RegisterField{r14, 0x78, 8}, RegisterField{r13, 0x80, 8},
    RegisterField{r12, 0x88, 8},      RegisterField{rbp, 0x90, 8}, RegisterField{rbx, 0x98, 8},
    RegisterField{r11, 0xA0, 8},      RegisterField{r10, 0xA8, 8}, RegisterField{r9, 0xB0, 8},
    RegisterField{r8, 0xB8, 8},       RegisterField{rax, 0xC0, 8}, RegisterField{rcx, 0xC8, 8},
    RegisterField{rdx, 0xD0, 8},      RegisterField{rsi, 0xD8, 8}, RegisterField{rdi, 0xE0, 8},
    RegisterField{rip, 0xF0, 8},      RegisterField{cs, 0xF8, 8},  RegisterField{rflags, 0x100, 8},
    RegisterField{rsp, 0x108, 8},     RegisterField{ss, 0x110, 8}, RegisterField{fs_base, 0x118, 8},
    RegisterField{gs_base, 0x120, 8}, RegisterField{ds, 0x128, 8}, RegisterField{es, 0x130, 8},
    RegisterField{fs, 0x138, 8},      RegisterField{gs, 0x140, 8}};
constexpr std::size_t kPrstatus64Size = 336;

constexpr std::array kPrstatus32{
    RegisterField{rbx, 0x48, 4}, RegisterField{rcx, 0x4C, 4},    RegisterField{rdx, 0x50, 4},
    RegisterField{rsi, 0x54, 4}, RegisterField{rdi, 0x58, 4},    RegisterField{rbp, 0x5C, 4},
    RegisterField{rax, 0x60, 4}, RegisterField{ds, 0x64, 4},     RegisterField{es, 0x68, 4},
    RegisterField{fs, 0x6C, 4},  RegisterField{gs, 0x70, 4},     RegisterField{rip, 0x78, 4},
    RegisterField{cs, 0x7C, 4},  RegisterField{rflags, 0x80, 4}, RegisterField{rsp, 0x84, 4},
    RegisterField{ss, 0x88, 4}};
constexpr std::size_t kPrstatus32Size = 144;

constexpr std::array kVirtualboxPlain{RegisterField{rax, 0x00, 8},
                                      RegisterField{rbx, 0x08, 8},
                                      RegisterField{rcx, 0x10, 8},
                                      RegisterField{rdx, 0x18, 8},
                                      RegisterField{rsi, 0x20, 8},
                                      RegisterField{rdi, 0x28, 8},
                                      RegisterField{r8, 0x30, 8},
                                      RegisterField{r9, 0x38, 8},
                                      RegisterField{r10, 0x40, 8},
                                      RegisterField{r11, 0x48, 8},
                                      RegisterField{r12, 0x50, 8},
                                      RegisterField{r13, 0x58, 8},
                                      RegisterField{r14, 0x60, 8},
                                      RegisterField{r15, 0x68, 8},
                                      RegisterField{rip, 0x70, 8},
                                      RegisterField{rsp, 0x78, 8},
                                      RegisterField{rbp, 0x80, 8},
                                      RegisterField{rflags, 0x88, 8},
                                      RegisterField{cr0, 0x120, 8},
                                      RegisterField{cr2, 0x128, 8},
                                      RegisterField{cr3, 0x130, 8},
                                      RegisterField{cr4, 0x138, 8},
                                      RegisterField{dr0, 0x140, 8},
                                      RegisterField{dr1, 0x148, 8},
                                      RegisterField{dr2, 0x150, 8},
                                      RegisterField{dr3, 0x158, 8},
                                      RegisterField{dr6, 0x170, 8},
                                      RegisterField{dr7, 0x178, 8},
                                      RegisterField{gdt_base, 0x180, 8},
                                      RegisterField{gdt_limit, 0x188, 4},
                                      RegisterField{idt_base, 0x190, 8},
                                      RegisterField{idt_limit, 0x198, 4},
                                      RegisterField{sysenter_cs, 0x1D0, 8},
                                      RegisterField{sysenter_eip, 0x1D8, 8},
                                      RegisterField{sysenter_esp, 0x1E0, 8},
                                      RegisterField{efer, 0x1E8, 8},
                                      RegisterField{star, 0x1F0, 8},
                                      RegisterField{pat, 0x1F8, 8},
                                      RegisterField{lstar, 0x200, 8},
                                      RegisterField{cstar, 0x208, 8},
                                      RegisterField{fmask, 0x210, 8},
                                      RegisterField{kernel_gs_base, 0x218, 8},
                                      RegisterField{apic_base, 0x220, 8}};
constexpr std::size_t kVirtualboxSize = 0x228;  // what every version of the structure has

// DBGFCORESEL: base, limit, attributes, selector.
constexpr std::array kVirtualboxSegments{
    SegmentField{cs, cs_base, cs_limit, cs_attributes, 0x090},
    SegmentField{ds, ds_base, ds_limit, ds_attributes, 0x0A8},
    SegmentField{es, es_base, es_limit, es_attributes, 0x0C0},
    SegmentField{fs, fs_base, fs_limit, fs_attributes, 0x0D8},
    SegmentField{gs, gs_base, gs_limit, gs_attributes, 0x0F0},
    SegmentField{ss, ss_base, ss_limit, ss_attributes, 0x108},
    SegmentField{ldt, ldt_base, ldt_limit, ldt_attributes, 0x1A0},
    SegmentField{tr, tr_base, tr_limit, tr_attributes, 0x1B8}};

constexpr std::array kXenPlain{RegisterField{r15, 0x208, 8},     RegisterField{r14, 0x210, 8},
                               RegisterField{r13, 0x218, 8},     RegisterField{r12, 0x220, 8},
                               RegisterField{rbp, 0x228, 8},     RegisterField{rbx, 0x230, 8},
                               RegisterField{r11, 0x238, 8},     RegisterField{r10, 0x240, 8},
                               RegisterField{r9, 0x248, 8},      RegisterField{r8, 0x250, 8},
                               RegisterField{rax, 0x258, 8},     RegisterField{rcx, 0x260, 8},
                               RegisterField{rdx, 0x268, 8},     RegisterField{rsi, 0x270, 8},
                               RegisterField{rdi, 0x278, 8},     RegisterField{rip, 0x288, 8},
                               RegisterField{cs, 0x290, 2},      RegisterField{rflags, 0x298, 8},
                               RegisterField{rsp, 0x2A0, 8},     RegisterField{ss, 0x2A8, 2},
                               RegisterField{es, 0x2B0, 2},      RegisterField{ds, 0x2B8, 2},
                               RegisterField{fs, 0x2C0, 2},      RegisterField{gs, 0x2C8, 2},
                               RegisterField{dr0, 0x13B8, 8},    RegisterField{dr1, 0x13C0, 8},
                               RegisterField{dr2, 0x13C8, 8},    RegisterField{dr3, 0x13D0, 8},
                               RegisterField{dr6, 0x13E8, 8},    RegisterField{dr7, 0x13F0, 8},
                               RegisterField{fs_base, 0x1418, 8}};
constexpr std::array kXenControl{RegisterField{cr0, 0x1378, 8}, RegisterField{cr2, 0x1388, 8},
                                 RegisterField{cr3, 0x1390, 8}, RegisterField{cr4, 0x1398, 8}};
constexpr std::size_t kXenGsBaseKernel = 0x1420;
constexpr std::size_t kXenGsBaseUser = 0x1428;

}  // namespace

std::optional<Registers> qemu_registers(std::span<const std::byte> note) {
  constexpr std::size_t kLeast = 0x1B0;  // up to CR4
  const Fields head(note);
  const std::size_t size = std::min<std::size_t>(note.size(), head.get<std::uint32_t>(4));
  if (head.get<std::uint32_t>(0) != 1 || size < kLeast) return std::nullopt;
  const Fields fields(note.first(size));
  Registers out;
  take(out, fields, kQemuPlain);
  for (const SegmentField& one : kQemuSegments) {
    out.set(one.selector, fields.get<std::uint32_t>(one.at));
    out.set(one.limit, fields.get<std::uint32_t>(one.at + 4U));
    // SegmentCache.flags is the descriptor's second word.
    out.set(one.flags, fields.get<std::uint32_t>(one.at + 8U) >> 8U & kAccessRights);
    out.set(one.base, fields.get<std::uint64_t>(one.at + 16U));
  }
  return out;
}

std::optional<Registers> prstatus_registers(std::span<const std::byte> note) {
  Registers out;
  if (note.size() == kPrstatus64Size)
    take(out, Fields(note), kPrstatus64);
  else if (note.size() == kPrstatus32Size)
    take(out, Fields(note), kPrstatus32);
  else
    return std::nullopt;
  return out;
}

std::optional<Registers> virtualbox_registers(std::span<const std::byte> note) {
  if (note.size() < kVirtualboxSize) return std::nullopt;
  const Fields fields(note);
  Registers out;
  take(out, fields, kVirtualboxPlain);
  for (const SegmentField& one : kVirtualboxSegments) {
    out.set(one.base, fields.get<std::uint64_t>(one.at));
    out.set(one.limit, fields.get<std::uint32_t>(one.at + 8U));
    out.set(one.flags, fields.get<std::uint32_t>(one.at + 12U) & kAccessRights);
    out.set(one.selector, fields.get<std::uint16_t>(one.at + 16U));
  }
  return out;
}

std::optional<Registers> xen_registers(std::span<const std::byte> context, bool is_hvm) {
  if (context.size() < kXenContextSize) return std::nullopt;
  const Fields fields(context);
  Registers out;
  take(out, fields, kXenPlain);
  if (is_hvm) take(out, fields, kXenControl);
  // The one in use is that of the privilege it runs with; the other waits for SWAPGS.
  const bool is_kernel = (out[cs].value_or(0) & 3U) == 0;
  const auto kernel = fields.get<std::uint64_t>(kXenGsBaseKernel);
  const auto user = fields.get<std::uint64_t>(kXenGsBaseUser);
  out.set(gs_base, is_kernel ? kernel : user);
  out.set(kernel_gs_base, is_kernel ? user : kernel);
  return out;
}

}  // namespace microvmi::coredump_connector
