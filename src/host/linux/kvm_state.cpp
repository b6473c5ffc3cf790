// SPDX-License-Identifier: Apache-2.0
// Tables of which member is which register.
#include "host/linux/kvm_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace microvmi::host {
namespace {

template <class Struct, class Member>
struct Field {
  Reg reg;
  Member Struct::* member;
};

using GeneralField = Field<kvm_regs, __u64>;
constexpr std::array<GeneralField, 18> kGeneral{{{Reg::rax, &kvm_regs::rax},
                                                 {Reg::rbx, &kvm_regs::rbx},
                                                 {Reg::rcx, &kvm_regs::rcx},
                                                 {Reg::rdx, &kvm_regs::rdx},
                                                 {Reg::rsi, &kvm_regs::rsi},
                                                 {Reg::rdi, &kvm_regs::rdi},
                                                 {Reg::rbp, &kvm_regs::rbp},
                                                 {Reg::rsp, &kvm_regs::rsp},
                                                 {Reg::r8, &kvm_regs::r8},
                                                 {Reg::r9, &kvm_regs::r9},
                                                 {Reg::r10, &kvm_regs::r10},
                                                 {Reg::r11, &kvm_regs::r11},
                                                 {Reg::r12, &kvm_regs::r12},
                                                 {Reg::r13, &kvm_regs::r13},
                                                 {Reg::r14, &kvm_regs::r14},
                                                 {Reg::r15, &kvm_regs::r15},
                                                 {Reg::rip, &kvm_regs::rip},
                                                 {Reg::rflags, &kvm_regs::rflags}}};

using SystemField = Field<kvm_sregs, __u64>;
constexpr std::array<SystemField, 7> kSystem{{{Reg::cr0, &kvm_sregs::cr0},
                                              {Reg::cr2, &kvm_sregs::cr2},
                                              {Reg::cr3, &kvm_sregs::cr3},
                                              {Reg::cr4, &kvm_sregs::cr4},
                                              {Reg::cr8, &kvm_sregs::cr8},
                                              {Reg::efer, &kvm_sregs::efer},
                                              {Reg::apic_base, &kvm_sregs::apic_base}}};

struct SegmentField {
  kvm_segment kvm_sregs::* member;
  Reg selector;
  Reg base;
  Reg limit;
  Reg attributes;
};
#define MICROVMI_SEGMENT_FIELD(member, name)                                                   \
  SegmentField {                                                                               \
    &kvm_sregs::member, Reg::name, Reg::name##_base, Reg::name##_limit, Reg::name##_attributes \
  }
constexpr std::array<SegmentField, 8> kSegments{
    {MICROVMI_SEGMENT_FIELD(es, es), MICROVMI_SEGMENT_FIELD(cs, cs), MICROVMI_SEGMENT_FIELD(ss, ss),
     MICROVMI_SEGMENT_FIELD(ds, ds), MICROVMI_SEGMENT_FIELD(fs, fs), MICROVMI_SEGMENT_FIELD(gs, gs),
     MICROVMI_SEGMENT_FIELD(ldt, ldt), MICROVMI_SEGMENT_FIELD(tr, tr)}};
#undef MICROVMI_SEGMENT_FIELD

struct TableField {
  kvm_dtable kvm_sregs::* member;
  Reg base;
  Reg limit;
};
constexpr std::array<TableField, 2> kTables{{{&kvm_sregs::gdt, Reg::gdt_base, Reg::gdt_limit},
                                             {&kvm_sregs::idt, Reg::idt_base, Reg::idt_limit}}};

constexpr std::array<Reg, 4> kBreakpoints{Reg::dr0, Reg::dr1, Reg::dr2, Reg::dr3};

constexpr std::array<KvmMsr, 10> kMsrs{{{0xC0000081, Reg::star},
                                        {0xC0000082, Reg::lstar},
                                        {0xC0000083, Reg::cstar},
                                        {0xC0000084, Reg::fmask},
                                        {0xC0000102, Reg::kernel_gs_base},
                                        {0xC0000103, Reg::tsc_aux},
                                        {0x174, Reg::sysenter_cs},
                                        {0x175, Reg::sysenter_esp},
                                        {0x176, Reg::sysenter_eip},
                                        {0x277, Reg::pat}}};

// Bits of the attributes; registers.hpp.
struct AttributeBit {
  __u8 kvm_segment::* member;
  unsigned shift;
  unsigned bits;
};
constexpr std::array<AttributeBit, 8> kAttributes{{{&kvm_segment::type, 0, 4},
                                                   {&kvm_segment::s, 4, 1},
                                                   {&kvm_segment::dpl, 5, 2},
                                                   {&kvm_segment::present, 7, 1},
                                                   {&kvm_segment::avl, 12, 1},
                                                   {&kvm_segment::l, 13, 1},
                                                   {&kvm_segment::db, 14, 1},
                                                   {&kvm_segment::g, 15, 1}}};
constexpr unsigned kPresent = 1U << 7U;

unsigned attributes_of(const kvm_segment& segment) {
  unsigned out = 0;
  for (const AttributeBit& one : kAttributes)
    out |= (segment.*one.member & ((1U << one.bits) - 1)) << one.shift;
  return segment.unusable != 0 ? out & ~kPresent : out;
}

void set_attributes(kvm_segment& segment, std::uint64_t attributes) {
  for (const AttributeBit& one : kAttributes)
    segment.*one.member = static_cast<__u8>((attributes >> one.shift) & ((1U << one.bits) - 1));
  segment.unusable = (attributes & kPresent) == 0 ? 1 : 0;
}

// The value into a member of whatever width; true where it is known.
template <class T>
bool give(const Registers& from, Reg reg, T& to) {
  const auto value = from[reg];
  if (value) to = static_cast<T>(*value);
  return value.has_value();
}

}  // namespace

std::span<const KvmMsr> kvm_msrs() { return kMsrs; }

void take(const kvm_regs& from, Registers& to) {
  for (const GeneralField& one : kGeneral) to.set(one.reg, from.*one.member);
}

void take(const kvm_sregs& from, Registers& to) {
  for (const SystemField& one : kSystem) to.set(one.reg, from.*one.member);
  for (const SegmentField& one : kSegments) {
    const kvm_segment& segment = from.*one.member;
    to.set(one.selector, segment.selector);
    to.set(one.base, segment.base);
    to.set(one.limit, segment.limit);
    to.set(one.attributes, attributes_of(segment));
  }
  for (const TableField& one : kTables) {
    to.set(one.base, (from.*one.member).base);
    to.set(one.limit, (from.*one.member).limit);
  }
}

void take(const kvm_debugregs& from, Registers& to) {
  for (std::size_t i = 0; i < kBreakpoints.size(); ++i) to.set(kBreakpoints[i], from.db[i]);
  to.set(Reg::dr6, from.dr6);
  to.set(Reg::dr7, from.dr7);
}

void take(const kvm_xcrs& from, Registers& to) {
  const std::span all(from.xcrs);
  for (const kvm_xcr& one : all.first(std::min<std::size_t>(from.nr_xcrs, all.size())))
    if (one.xcr == 0) to.set(Reg::xcr0, one.value);
}

bool put(const Registers& from, kvm_regs& to) {
  bool any = false;
  for (const GeneralField& one : kGeneral) any |= give(from, one.reg, to.*one.member);
  return any;
}

bool put(const Registers& from, kvm_sregs& to) {
  bool any = false;
  for (const SystemField& one : kSystem) any |= give(from, one.reg, to.*one.member);
  for (const SegmentField& one : kSegments) {
    kvm_segment& segment = to.*one.member;
    any |= give(from, one.selector, segment.selector);
    any |= give(from, one.base, segment.base);
    any |= give(from, one.limit, segment.limit);
    if (const auto attributes = from[one.attributes]) {
      set_attributes(segment, *attributes);
      any = true;
    }
  }
  for (const TableField& one : kTables) {
    any |= give(from, one.base, (to.*one.member).base);
    any |= give(from, one.limit, (to.*one.member).limit);
  }
  return any;
}

bool put(const Registers& from, kvm_debugregs& to) {
  bool any = false;
  for (std::size_t i = 0; i < kBreakpoints.size(); ++i)
    any |= give(from, kBreakpoints[i], to.db[i]);
  any |= give(from, Reg::dr6, to.dr6);
  any |= give(from, Reg::dr7, to.dr7);
  return any;
}

bool put(const Registers& from, kvm_xcrs& to) {
  const auto value = from[Reg::xcr0];
  if (!value) return false;
  to.nr_xcrs = 1;
  to.xcrs[0].xcr = 0;
  to.xcrs[0].value = *value;
  return true;
}

std::vector<kvm_msr_entry> msrs_of(const Registers& from) {
  std::vector<kvm_msr_entry> out;
  for (const KvmMsr& one : kMsrs)
    if (const auto value = from[one.reg])
      out.push_back({.index = one.index, .reserved = 0, .data = *value});
  return out;
}

// kvm_arch_vcpu_ioctl() refuses it where the guest's area is longer, and for nothing else.
Expected<void> check_xsave(std::int64_t returned) {
  if (returned >= 0) return {};
  if (returned == -EINVAL)
    return fail(
        Errc::not_supported,
        "the XSAVE area of this guest is longer than the 4096 bytes that are read of it: it "
        "may use AMX");
  return fail(Errc::io, fmt::format("KVM refuses to tell the XSAVE area: {}",
                                    std::strerror(static_cast<int>(-returned))));
}

}  // namespace microvmi::host
