// SPDX-License-Identifier: Apache-2.0
// Guest: the machine behind the simulated peer: memory with holes, page tables, vCPUs.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "support/kvmi_peer/bytes.hpp"

namespace microvmi::test::kvmi {

inline constexpr std::uint64_t kPage = 4096;
inline constexpr std::uint8_t kInt3 = 0xcc;

// kvm_segment and kvm_dtable of section 7.2.
struct Segment {
  std::uint64_t base = 0;
  std::uint32_t limit = 0xffffffff;
  std::uint16_t selector = 0;
  std::uint8_t type = 3, present = 1, dpl = 0, db = 0, s = 1, l = 0, g = 1, avl = 0, unusable = 0;
};
struct Table {
  std::uint64_t base = 0;
  std::uint16_t limit = 0;
};

// kvm_regs in its order on the wire (section 7.1).
struct Regs {
  std::uint64_t rax = 0, rbx = 0, rcx = 0, rdx = 0, rsi = 0, rdi = 0, rsp = 0, rbp = 0;
  std::uint64_t r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  std::uint64_t rip = 0, rflags = 2;
  bool operator==(const Regs&) const = default;
};
inline constexpr std::size_t kRegsSize = 144;
inline constexpr std::size_t kSregsSize = 312;

struct Sregs {
  Segment cs{.selector = 0x10, .type = 11, .l = 1}, ds, es, fs, gs, ss, tr, ldt;
  Table gdt, idt;
  // Protected mode and paging; PAE; long mode enabled and active, system calls.
  std::uint64_t cr0 = 0x80000011, cr2 = 0, cr3 = 0, cr4 = 0x20, cr8 = 0, efer = 0xd01;
  std::uint64_t apic_base = 0xfee00900;
};

void append(Bytes& to, const Regs& regs);
void append(Bytes& to, const Sregs& sregs);
[[nodiscard]] Regs regs_from(ByteSpan bytes);

struct Vcpu {
  Regs regs;
  Sregs sregs;
  std::map<std::uint32_t, std::uint64_t> msrs;
  std::uint64_t xcr0 = 7;
  std::uint16_t view = 0;
  bool started = true;  // false: an AP before INIT and SIPI

  [[nodiscard]] std::uint8_t mode() const { return sregs.cs.l != 0 ? 8 : sregs.cs.db != 0 ? 4 : 2; }
};

// MSRs that every vCPU has at first; msr() of the nine that events carry is among them.
[[nodiscard]] std::map<std::uint32_t, std::uint64_t> usual_msrs();

class Guest {
 public:
  explicit Guest(unsigned vcpus = 2);

  void add_memory(std::uint64_t gpa, std::uint64_t size);
  // Null where there is none; never more than to the end of that page.
  [[nodiscard]] std::uint8_t* at(std::uint64_t gpa);
  [[nodiscard]] bool holds(std::uint64_t gpa) { return at(gpa) != nullptr; }
  [[nodiscard]] std::uint64_t max_gfn() const;  // the first frame after the last slot
  void poke(std::uint64_t gpa, ByteSpan bytes);
  [[nodiscard]] Bytes peek(std::uint64_t gpa, std::size_t size);

  // Four levels of 4 KiB page tables under the vCPU's cr3 (SDM volume 3, 4.5), frames from
  // `tables`.
  void map_page(unsigned vcpu, std::uint64_t gva, std::uint64_t gpa);
  [[nodiscard]] std::optional<std::uint64_t> translate(unsigned vcpu, std::uint64_t gva);

  std::vector<Vcpu> vcpus;
  std::uint64_t tables = 0x100000;  // where the next page table goes

 private:
  [[nodiscard]] std::uint64_t read_entry(std::uint64_t gpa);

  std::map<std::uint64_t, Bytes> regions_;  // by gpa
};

}  // namespace microvmi::test::kvmi
