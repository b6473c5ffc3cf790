// SPDX-License-Identifier: Apache-2.0
// The guest's memory, its page tables, and registers as KVM's structures have them.
#include "support/kvmi_peer/guest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace microvmi::test::kvmi {
namespace {

constexpr std::uint64_t kPresentWritable = 3;
constexpr std::uint64_t kFrameBits = 0x000ffffffffff000;  // of a page-table entry

auto members(auto& regs) {
  return std::array{&regs.rax, &regs.rbx, &regs.rcx, &regs.rdx, &regs.rsi, &regs.rdi,
                    &regs.rsp, &regs.rbp, &regs.r8,  &regs.r9,  &regs.r10, &regs.r11,
                    &regs.r12, &regs.r13, &regs.r14, &regs.r15, &regs.rip, &regs.rflags};
}

void append_segment(Bytes& to, const Segment& segment) {
  append(to, segment.base);
  append(to, segment.limit);
  append(to, segment.selector);
  for (const std::uint8_t one :
       {segment.type, segment.present, segment.dpl, segment.db, segment.s, segment.l, segment.g,
        segment.avl, segment.unusable, std::uint8_t{0}})
    to.push_back(one);
}

void append_table(Bytes& to, const Table& table) {
  append(to, table.base);
  append(to, table.limit);
  append_zeros(to, 6);
}

// The index into the tables of level 3 to 0.
std::uint64_t slot(std::uint64_t gva, int level) { return gva >> (12 + 9 * level) & 0x1ff; }

}  // namespace

void append(Bytes& to, const Regs& regs) {
  for (const std::uint64_t* one : members(regs)) append(to, *one);
}

Regs regs_from(ByteSpan bytes) {
  Regs regs;
  std::size_t offset = 0;
  for (std::uint64_t* one : members(regs)) {
    *one = u64(bytes, offset);
    offset += 8;
  }
  return regs;
}

void append(Bytes& to, const Sregs& sregs) {
  for (const Segment* one :
       {&sregs.cs, &sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss, &sregs.tr, &sregs.ldt})
    append_segment(to, *one);
  append_table(to, sregs.gdt);
  append_table(to, sregs.idt);
  for (const std::uint64_t one :
       {sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.cr8, sregs.efer, sregs.apic_base})
    append(to, one);
  append_zeros(to, 32);  // interrupt_bitmap
}

std::map<std::uint32_t, std::uint64_t> usual_msrs() {
  // SDM volume 4, table 2-2: sysenter, pat, apic base, efer, the system calls', the bases, tsc_aux.
  return {{0x174, 0x10},
          {0x175, 0xffff800000017500},
          {0x176, 0xffff800000017600},
          {0x277, 0x0007040600070406},
          {0x1b, 0xfee00900},
          {0xc0000080, 0xd01},
          {0xc0000081, 0x0023001000000000},
          {0xc0000082, 0xffff800000008200},
          {0xc0000083, 0xffff800000008300},
          {0xc0000084, 0x47700},
          {0xc0000100, 0x7f0000000000},
          {0xc0000101, 0xffff888000000000},
          {0xc0000102, 0x7f0000001000},
          {0xc0000103, 1}};
}

Guest::Guest(unsigned count) : vcpus(count) {
  for (unsigned i = 0; i != count; ++i) {
    Vcpu& vcpu = vcpus[i];
    vcpu.msrs = usual_msrs();
    std::uint64_t value = 0x1111 * (i + 1);
    for (std::uint64_t* one : members(vcpu.regs)) *one = value += 0x100000001;
    vcpu.regs.rflags = 2;
    vcpu.regs.rip = 0x3000;
    vcpu.sregs.gs.base = 0xffff888000000000 + i;
    vcpu.sregs.tr = {
        .base = 0xfffffe0000003000, .limit = 0x206f, .selector = 0x40, .type = 11, .s = 0, .g = 0};
    vcpu.sregs.gdt = {.base = 0xfffffe0000001000 + i, .limit = 0x7f};
    vcpu.sregs.idt = {.base = 0xfffffe0000000000 + i, .limit = 0xfff};
    vcpu.sregs.cr0 = 0x11;  // paging is switched on by the first map_page()
    vcpu.sregs.cr2 = 0xdead0000 + i;
    vcpu.sregs.cr8 = i;
  }
}

void Guest::add_memory(std::uint64_t gpa, std::uint64_t size) {
  regions_[gpa].assign(size, 0x90);  // a guest that runs there does nothing: NOP
}

std::uint8_t* Guest::at(std::uint64_t gpa) {
  auto next = regions_.upper_bound(gpa);
  if (next == regions_.begin()) return nullptr;
  auto& [start, bytes] = *std::prev(next);
  return gpa - start < bytes.size() ? bytes.data() + (gpa - start) : nullptr;
}

std::uint64_t Guest::max_gfn() const {
  if (regions_.empty()) return 0;
  const auto& [start, bytes] = *std::prev(regions_.end());
  return (start + bytes.size()) / kPage;
}

void Guest::poke(std::uint64_t gpa, ByteSpan bytes) {
  for (const std::uint8_t byte : bytes) {
    std::uint8_t* to = at(gpa++);
    if (to == nullptr) throw std::out_of_range(fmt::format("the guest has no {:#x}", gpa - 1));
    *to = byte;
  }
}

Bytes Guest::peek(std::uint64_t gpa, std::size_t size) {
  Bytes out;
  for (std::size_t i = 0; i != size; ++i) {
    const std::uint8_t* from = at(gpa + i);
    if (from == nullptr) throw std::out_of_range(fmt::format("the guest has no {:#x}", gpa + i));
    out.push_back(*from);
  }
  return out;
}

std::uint64_t Guest::read_entry(std::uint64_t gpa) {
  return holds(gpa) && holds(gpa + 7) ? u64(peek(gpa, 8), 0) : 0;
}

void Guest::map_page(unsigned vcpu, std::uint64_t gva, std::uint64_t gpa) {
  const auto fresh = [this] {
    poke(tables, Bytes(kPage));
    tables += kPage;
    return tables - kPage;
  };
  Sregs& sregs = vcpus[vcpu].sregs;
  if (sregs.cr3 == 0) sregs.cr3 = fresh();
  sregs.cr0 |= 0x80000000;
  std::uint64_t table = sregs.cr3 & kFrameBits;
  for (int level = 3; level != 0; --level) {
    const std::uint64_t entry_at = table + 8 * slot(gva, level);
    std::uint64_t entry = read_entry(entry_at);
    if (entry == 0) {
      Bytes bytes;
      append(bytes, entry = fresh() | kPresentWritable);
      poke(entry_at, bytes);
    }
    table = entry & kFrameBits;
  }
  Bytes bytes;
  append(bytes, gpa | kPresentWritable);
  poke(table + 8 * slot(gva, 0), bytes);
}

std::optional<std::uint64_t> Guest::translate(unsigned vcpu, std::uint64_t gva) {
  const Sregs& sregs = vcpus[vcpu].sregs;
  if ((sregs.cr0 & 0x80000000) == 0) return gva;
  std::uint64_t table = sregs.cr3 & kFrameBits;
  for (int level = 3; level >= 0; --level) {
    const std::uint64_t entry = read_entry(table + 8 * slot(gva, level));
    if ((entry & 1) == 0) return std::nullopt;
    table = entry & kFrameBits;
  }
  return table + gva % kPage;
}

}  // namespace microvmi::test::kvmi
