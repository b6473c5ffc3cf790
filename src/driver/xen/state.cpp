// SPDX-License-Identifier: Apache-2.0
// The places of registers in struct hvm_hw_cpu, vcpu_guest_context and vm_event_regs_x86.
#include "driver/xen/state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace microvmi::xen {
namespace {

using enum Reg;

struct Place {
  Reg reg;
  std::uint16_t offset;
  std::uint8_t width = 8;
};

constexpr std::array kHvmPlaces{
    Place{rax, 512},          Place{rbx, 520},          Place{rcx, 528},
    Place{rdx, 536},          Place{rbp, 544},          Place{rsi, 552},
    Place{rdi, 560},          Place{rsp, 568},          Place{r8, 576},
    Place{r9, 584},           Place{r10, 592},          Place{r11, 600},
    Place{r12, 608},          Place{r13, 616},          Place{r14, 624},
    Place{r15, 632},          Place{rip, 640},          Place{rflags, 648},
    Place{cr0, 656},          Place{cr2, 664},          Place{cr3, 672},
    Place{cr4, 680},          Place{dr0, 688},          Place{dr1, 696},
    Place{dr2, 704},          Place{dr3, 712},          Place{dr6, 720},
    Place{dr7, 728},          Place{idt_limit, 800, 4}, Place{gdt_limit, 804, 4},
    Place{idt_base, 872},     Place{gdt_base, 880},     Place{sysenter_cs, 920},
    Place{sysenter_esp, 928}, Place{sysenter_eip, 936}, Place{kernel_gs_base, 944},
    Place{lstar, 960},        Place{star, 968},         Place{cstar, 976},
    Place{fmask, 984},        Place{efer, 992},         Place{tsc_aux, 1000}};

// Segments in the order of their selectors, limits, bases and attributes.
constexpr std::array kHvmSegments{cs, ds, es, fs, gs, ss, tr, ldt};
constexpr std::size_t kHvmSelectors = 736;
constexpr std::size_t kHvmLimits = 768;
constexpr std::size_t kHvmBases = 808;  // idtr and gdtr stand behind them
constexpr std::size_t kHvmAttributes = 888;

// struct cpu_user_regs inside of the context.
constexpr std::array kPvPlaces{
    Place{r15, 520},   Place{r14, 528},   Place{r13, 536},     Place{r12, 544},   Place{rbp, 552},
    Place{rbx, 560},   Place{r11, 568},   Place{r10, 576},     Place{r9, 584},    Place{r8, 592},
    Place{rax, 600},   Place{rcx, 608},   Place{rdx, 616},     Place{rsi, 624},   Place{rdi, 632},
    Place{rip, 648},   Place{cs, 656, 2}, Place{rflags, 664},  Place{rsp, 672},   Place{ss, 680, 2},
    Place{es, 688, 2}, Place{ds, 696, 2}, Place{fs, 704, 2},   Place{gs, 712, 2}, Place{cr0, 4984},
    Place{cr4, 5016},  Place{dr0, 5048},  Place{dr1, 5056},    Place{dr2, 5064},  Place{dr3, 5072},
    Place{dr6, 5096},  Place{dr7, 5104},  Place{fs_base, 5144}};
constexpr std::size_t kPvFlags = 512;
constexpr std::uint64_t kPvInKernel = 1U << 2U;  // VGCF_in_kernel
constexpr std::uint64_t kPvEfer = 0xd01;         // SCE, LME, LMA, NXE: a 64-bit guest has Xen's own
constexpr std::size_t kPvUserTable = 4992;       // ctrlreg[1]
constexpr std::size_t kPvKernelTable = 5008;     // ctrlreg[3]
constexpr std::uint16_t kPvKernelGs = 5152;
constexpr std::uint16_t kPvUserGs = 5160;

constexpr std::array kEventPlaces{Place{rax, 0},
                                  Place{rcx, 8},
                                  Place{rdx, 16},
                                  Place{rbx, 24},
                                  Place{rsp, 32},
                                  Place{rbp, 40},
                                  Place{rsi, 48},
                                  Place{rdi, 56},
                                  Place{r8, 64},
                                  Place{r9, 72},
                                  Place{r10, 80},
                                  Place{r11, 88},
                                  Place{r12, 96},
                                  Place{r13, 104},
                                  Place{r14, 112},
                                  Place{r15, 120},
                                  Place{rflags, 128},
                                  Place{rip, 152},
                                  Place{dr6, 136},
                                  Place{dr7, 144},
                                  Place{cr0, 160},
                                  Place{cr2, 168},
                                  Place{cr3, 176},
                                  Place{cr4, 184},
                                  Place{sysenter_cs, 192},
                                  Place{sysenter_esp, 200},
                                  Place{sysenter_eip, 208},
                                  Place{efer, 216},
                                  Place{star, 224},
                                  Place{lstar, 232},
                                  Place{gdt_base, 240},
                                  Place{cs_base, 264, 4},
                                  Place{ss_base, 268, 4},
                                  Place{ds_base, 272, 4},
                                  Place{es_base, 276, 4},
                                  Place{fs_base, 280},
                                  Place{gs_base, 288},
                                  Place{kernel_gs_base, 320},
                                  Place{gdt_limit, 328, 2},
                                  Place{cs, 330, 2},
                                  Place{ss, 332, 2},
                                  Place{ds, 334, 2},
                                  Place{es, 336, 2},
                                  Place{fs, 338, 2},
                                  Place{gs, 340, 2}};
constexpr std::size_t kEventWritable = 18;  // rax to rip: hvm_vm_event_set_registers() takes these
constexpr std::array kEventSegments{cs, ss, ds, es, fs, gs};
constexpr std::size_t kEventSelectors = 296;  // 20 bits of limit, 12 of attributes each

Reg after(Reg reg, unsigned places) {
  return static_cast<Reg>(static_cast<unsigned>(reg) + places);
}

// Xen leaves out the four bits of the limit between P and AVL.
std::uint64_t spread(std::uint64_t attributes) {
  return (attributes & 0xff) | (attributes & 0xf00) << 4;
}
std::uint64_t packed(std::uint64_t attributes) {
  return (attributes & 0xff) | (attributes & 0xf000) >> 4;
}
constexpr std::uint64_t kGranularity = 1U << 11U;  // of the packed ones

template <class Places>
void take(Registers& into, const Places& places, ByteSpan bytes) {
  for (const Place& place : places)
    if (std::size_t{place.offset} + place.width <= bytes.size())
      into.set(place.reg, load(bytes, place.offset, place.width));
}

template <class Places>
std::optional<Place> place_of(const Places& places, Reg reg) {
  const auto found = std::ranges::find(places, reg, &Place::reg);
  return found == places.end() ? std::nullopt : std::optional(*found);
}

std::unexpected<Error> no_place(const char* name, const char* kind) {
  return fail(Errc::not_supported,
              fmt::format("Xen has no way to write the register {} of {} guests", name, kind));
}

struct HvmPlace {
  std::size_t offset;
  std::size_t width;
  bool attributes = false;
};

std::optional<HvmPlace> hvm_place(Reg reg) {
  if (const auto place = place_of(kHvmPlaces, reg)) return HvmPlace{place->offset, place->width};
  for (std::size_t i = 0; i < kHvmSegments.size(); ++i) {
    if (reg == kHvmSegments[i]) return HvmPlace{kHvmSelectors + 4 * i, 4};
    if (reg == after(kHvmSegments[i], 1)) return HvmPlace{kHvmBases + 8 * i, 8};
    if (reg == after(kHvmSegments[i], 2)) return HvmPlace{kHvmLimits + 4 * i, 4};
    if (reg == after(kHvmSegments[i], 3)) return HvmPlace{kHvmAttributes + 4 * i, 4, true};
  }
  return std::nullopt;
}

}  // namespace

Registers registers_of_hvm(ByteSpan record) {
  Registers out;
  if (record.size() < kHvmCpuSize) return out;
  for (const RegisterInfo& info : kRegisters) {
    const auto place = hvm_place(info.reg);
    if (!place) continue;
    const std::uint64_t value = load(record, place->offset, place->width);
    out.set(info.reg, place->attributes ? spread(value) : value);
  }
  return out;
}

Expected<void> change_hvm(std::span<std::byte> record, const Registers& wanted) {
  for (const RegisterInfo& info : kRegisters) {
    const auto value = wanted[info.reg];
    if (!value) continue;
    const auto place = hvm_place(info.reg);
    if (!place) return no_place(info.name, "HVM and PVH");
    store(record, place->offset, place->width, place->attributes ? packed(*value) : *value);
  }
  return {};
}

// A 64-bit PV guest has two tables and two bases of gs; which are in use its mode says. Bits that
// Xen keeps for itself, as the interrupt flag, are told as Xen tells them.
Registers registers_of_pv(ByteSpan context) {
  Registers out;
  if (context.size() < kPvContextSize) return out;
  take(out, kPvPlaces, context);
  const bool kernel = (load(context, kPvFlags, 8) & kPvInKernel) != 0;
  out.set(efer, kPvEfer);
  out.set(cr3, load(context, kernel ? kPvKernelTable : kPvUserTable, 8));
  out.set(gs_base, load(context, kernel ? kPvKernelGs : kPvUserGs, 8));
  out.set(kernel_gs_base, load(context, kernel ? kPvUserGs : kPvKernelGs, 8));
  return out;
}

Expected<void> change_pv(std::span<std::byte> context, const Registers& wanted) {
  const bool kernel = (load(context, kPvFlags, 8) & kPvInKernel) != 0;
  for (const RegisterInfo& info : kRegisters) {
    const auto value = wanted[info.reg];
    if (!value) continue;
    std::optional<Place> place = place_of(kPvPlaces, info.reg);
    if (info.reg == gs_base) place = Place{gs_base, kernel ? kPvKernelGs : kPvUserGs};
    if (info.reg == kernel_gs_base) place = Place{gs_base, kernel ? kPvUserGs : kPvKernelGs};
    if (!place) return no_place(info.name, "PV");
    store(context, place->offset, place->width, *value);
  }
  return {};
}

Registers registers_of_event(ByteSpan regs) {
  Registers out;
  if (regs.size() < kEventRegsSize) return out;
  take(out, kEventPlaces, regs);
  for (std::size_t i = 0; i < kEventSegments.size(); ++i) {
    const std::uint64_t word = load(regs, kEventSelectors + 4 * i, 4);
    const std::uint64_t attributes = word >> 20;
    const std::uint64_t limit = word & 0xfffff;
    const bool pages = (attributes & kGranularity) != 0;
    out.set(after(kEventSegments[i], 2), pages ? limit << 12 | 0xfff : limit);
    out.set(after(kEventSegments[i], 3), spread(attributes));
  }
  return out;
}

bool fits_event(const Registers& wanted) {
  const auto writable = std::span(kEventPlaces).first(kEventWritable);
  return std::ranges::all_of(kRegisters, [&](const RegisterInfo& info) {
    return !wanted[info.reg] ||
           std::ranges::find(writable, info.reg, &Place::reg) != writable.end();
  });
}

void change_event(std::span<std::byte> regs, const Registers& wanted) {
  for (const Place& place : std::span(kEventPlaces).first(kEventWritable))
    if (const auto value = wanted[place.reg]) store(regs, place.offset, place.width, *value);
}

// Records follow each other: code and instance of 16 bits, length of 32 (struct
// hvm_save_descriptor). Code 0 ends them.
std::span<std::byte> hvm_record_in(std::span<std::byte> context, std::uint16_t code,
                                   std::uint16_t instance) {
  constexpr std::size_t kHead = 8;
  while (context.size() >= kHead) {
    const std::uint64_t length = load(context, 4, 4);
    const std::uint64_t found = load(context, 0, 2);
    if (found == 0 || length > context.size() - kHead) return {};
    if (found == code && load(context, 2, 2) == instance) return context.subspan(kHead, length);
    context = context.subspan(kHead + length);
  }
  return {};
}

}  // namespace microvmi::xen
