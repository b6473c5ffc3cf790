// SPDX-License-Identifier: Apache-2.0
// The places of registers in struct kvm_regs and struct kvm_sregs (asm/kvm.h).
#include "driver/kvm/state.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace microvmi::kvm {
namespace {

using enum Reg;

struct Place {
  Reg reg;
  std::uint16_t offset;
  std::uint8_t width = 8;
};

constexpr std::array kRegsPlaces{
    Place{rax, 0},   Place{rbx, 8},   Place{rcx, 16},    Place{rdx, 24},  Place{rsi, 32},
    Place{rdi, 40},  Place{rsp, 48},  Place{rbp, 56},    Place{r8, 64},   Place{r9, 72},
    Place{r10, 80},  Place{r11, 88},  Place{r12, 96},    Place{r13, 104}, Place{r14, 112},
    Place{r15, 120}, Place{rip, 128}, Place{rflags, 136}};

constexpr std::array kSregsPlaces{
    Place{gdt_base, 192}, Place{gdt_limit, 200, 2}, Place{idt_base, 208}, Place{idt_limit, 216, 2},
    Place{cr0, 224},      Place{cr2, 232},          Place{cr3, 240},      Place{cr4, 248},
    Place{cr8, 256},      Place{efer, 264},         Place{apic_base, 272}};

// Of the event's own block, which has no others.
constexpr std::array kEventMsrPlaces{
    Place{sysenter_cs, 0}, Place{sysenter_esp, 8}, Place{sysenter_eip, 16},
    Place{efer, 24},       Place{star, 32},        Place{lstar, 40},
    Place{cstar, 48},      Place{pat, 56},         Place{kernel_gs_base, 64}};

// A segment: its selector's register, behind which come base, limit and attributes in Reg.
struct Segment {
  Reg selector;
  std::uint16_t offset;
};
constexpr std::array kSegments{Segment{cs, 0},   Segment{ds, 24},  Segment{es, 48},
                               Segment{fs, 72},  Segment{gs, 96},  Segment{ss, 120},
                               Segment{tr, 144}, Segment{ldt, 168}};
constexpr std::size_t kSegmentSize = 24;

// One byte of struct kvm_segment for each, at the bit that it has in a descriptor.
struct Attribute {
  std::uint16_t offset;
  std::uint16_t mask;
  std::uint8_t bit;
};
constexpr std::array kAttributes{Attribute{14, 15, 0}, Attribute{18, 1, 4},  Attribute{16, 3, 5},
                                 Attribute{15, 1, 7},  Attribute{21, 1, 12}, Attribute{19, 1, 13},
                                 Attribute{17, 1, 14}, Attribute{20, 1, 15}};
constexpr std::size_t kUnusable = 22;
constexpr std::uint64_t kPresent = 1U << 7U;

// Index (Intel SDM vol. 4) and register.
struct Msr {
  std::uint32_t index;
  Reg reg;
};
constexpr std::array kMsrs{Msr{0x174, sysenter_cs},  Msr{0x175, sysenter_esp},
                           Msr{0x176, sysenter_eip}, Msr{0x277, pat},
                           Msr{0xc0000080, efer},    Msr{0xc0000081, star},
                           Msr{0xc0000082, lstar},   Msr{0xc0000083, cstar},
                           Msr{0xc0000084, fmask},   Msr{0xc0000102, kernel_gs_base},
                           Msr{0xc0000103, tsc_aux}};

// get_registers answers with these, then struct kvm_msrs.
constexpr std::size_t kAnswerRegs = 8;
constexpr std::size_t kAnswerSregs = kAnswerRegs + kRegsSize;
constexpr std::size_t kAnswerMsrCount = kAnswerSregs + kSregsSize;
constexpr std::size_t kAnswerMsrs = kAnswerMsrCount + 8;
constexpr std::size_t kMsrSize = 16;

Reg after(Reg reg, unsigned places) {
  return static_cast<Reg>(static_cast<unsigned>(reg) + places);
}

// What the message is too short for stays unknown.
void take(Registers& into, std::span<const Place> places, ByteSpan bytes) {
  for (const Place& place : places)
    if (std::size_t{place.offset} + place.width <= bytes.size())
      into.set(place.reg, load(bytes, place.offset, place.width));
}

std::uint64_t attributes_of(ByteSpan segment) {
  std::uint64_t out = 0;
  for (const Attribute& one : kAttributes)
    out |= (load(segment, one.offset, 1) & one.mask) << one.bit;
  return load(segment, kUnusable, 1) != 0 ? out & ~kPresent : out;
}

void take_segments(Registers& into, ByteSpan sregs) {
  for (const Segment& one : kSegments) {
    if (one.offset + kSegmentSize > sregs.size()) continue;
    const ByteSpan bytes = sregs.subspan(one.offset, kSegmentSize);
    into.set(one.selector, load(bytes, 12, 2));
    into.set(after(one.selector, 1), load(bytes, 0, 8));
    into.set(after(one.selector, 2), load(bytes, 8, 4));
    into.set(after(one.selector, 3), attributes_of(bytes));
  }
}

void take_sregs(Registers& into, ByteSpan sregs) {
  take(into, kSregsPlaces, sregs);
  take_segments(into, sregs);
}

}  // namespace

std::span<const std::uint32_t> register_msrs() {
  static constexpr auto kIndices = [] {
    std::array<std::uint32_t, kMsrs.size()> out{};
    std::ranges::transform(kMsrs, out.begin(), &Msr::index);
    return out;
  }();
  return kIndices;
}

Registers registers_of(const EventMessage& event) {
  Registers out;
  take(out, kRegsPlaces, event.regs);
  take_sregs(out, event.sregs);
  take(out, kEventMsrPlaces, event.msrs);
  return out;
}

Expected<Registers> registers_of_answer(ByteSpan data, std::span<const std::uint32_t> msrs) {
  const std::uint64_t count = load(data, kAnswerMsrCount, 4);
  if (count != msrs.size() || data.size() < kAnswerMsrs + kMsrSize * count)
    return fail(Errc::protocol,
                fmt::format("KVMi: get_registers answered with {} bytes and {} msrs, where {} msrs "
                            "were asked for",
                            data.size(), count, msrs.size()));
  Registers out;
  take(out, kRegsPlaces, data.subspan(kAnswerRegs, kRegsSize));
  take_sregs(out, data.subspan(kAnswerSregs, kSregsSize));
  for (std::size_t i = 0; i < count; ++i) {
    const auto index = load(data, kAnswerMsrs + i * kMsrSize, 4);
    const auto* known = std::ranges::find(kMsrs, index, &Msr::index);
    if (index != msrs[i] || known == kMsrs.end())
      return fail(Errc::protocol, fmt::format("KVMi: get_registers answered with msr {:#x} where "
                                              "{:#x} was asked for",
                                              index, msrs[i]));
    out.set(known->reg, load(data, kAnswerMsrs + i * kMsrSize + 8, 8));
  }
  return out;
}

Regs regs_of_answer(ByteSpan data) {
  Regs out{};
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::byte>(load(data, kAnswerRegs + i, 1));
  return out;
}

void show(const Regs& regs, Registers& into) { take(into, kRegsPlaces, regs); }

Expected<void> change(Regs& regs, const Registers& wanted) {
  for (const RegisterInfo& info : kRegisters) {
    const auto value = wanted[info.reg];
    if (!value) continue;
    const auto* place = std::ranges::find(kRegsPlaces, info.reg, &Place::reg);
    if (place == kRegsPlaces.end())
      return fail(Errc::not_supported,
                  fmt::format("KVMi has no way to write the register {}", info.name), {},
                  "it writes rax to r15, rip and rflags");
    store(regs, place->offset, place->width, *value);
  }
  return {};
}

}  // namespace microvmi::kvm
