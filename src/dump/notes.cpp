// SPDX-License-Identifier: Apache-2.0
// Notes are a head, a name and a body, each of whole words of four bytes (ELF specification).
#include "dump/notes.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "dump/bytes.hpp"

namespace microvmi::dumper {
namespace {

constexpr std::uint32_t kVmcoreinfoType = 0;  // VMCOREINFO_NOTE_NAME's, kernel/crash_core.c
// Of the kernel's note: VMCOREINFO_BYTES is a page, and the head comes before it.
constexpr std::size_t kMostVmcoreinfo = 8192;
constexpr std::size_t kVmcoreinfoInPage = 4096;

std::uint64_t align4(std::uint64_t size) { return (size + 3) / 4 * 4; }

// Where the body begins.
std::uint64_t add_note(std::vector<std::byte>& to, std::string_view name, std::uint32_t type,
                       std::span<const std::byte> body) {
  Elf64_Nhdr head{};
  head.n_namesz = static_cast<Elf64_Word>(name.size() + 1);
  head.n_descsz = static_cast<Elf64_Word>(body.size());
  head.n_type = type;
  const std::size_t at = to.size();
  const std::size_t body_at = at + sizeof(head) + align4(name.size() + 1);
  to.resize(body_at + align4(body.size()));
  put(to, at, head);
  std::ranges::copy(std::as_bytes(std::span(name)),
                    to.begin() + static_cast<std::ptrdiff_t>(at + sizeof(head)));
  std::ranges::copy(body, to.begin() + static_cast<std::ptrdiff_t>(body_at));
  return body_at;
}

std::uint64_t value(const Registers& from, Reg reg) { return from[reg].value_or(0); }

// struct elf_prstatus of x86-64 (linux/elfcore.h): the process id at 32, the registers from 112 on
// in the order of struct user_regs_struct.
std::vector<std::byte> prstatus(const Registers& from, std::uint32_t index) {
  using enum Reg;
  constexpr std::size_t kSize = 336;
  constexpr std::size_t kPid = 32;
  constexpr std::size_t kRegisters = 112;
  constexpr std::array kOrder{r15, r14,     r13,     r12, rbp, rbx, r11, r10, r9,     r8,
                              rax, rcx,     rdx,     rsi, rdi, rax, rip, cs,  rflags, rsp,
                              ss,  fs_base, gs_base, ds,  es,  fs,  gs};  // the second rax stands
                                                                          // for orig_rax
  std::vector<std::byte> out(kSize);
  put(out, kPid, index + 1);  // QEMU counts from 1 there
  for (std::size_t i = 0; i < kOrder.size(); ++i)
    put(out, kRegisters + i * sizeof(std::uint64_t), value(from, kOrder[i]));
  return out;
}

// QEMUCPUState of QEMU's target/i386/arch_dump.c, version 1: what it has, in its order.
struct Segment {
  Reg selector, limit, attributes, base;
};
constexpr std::array kGeneral{Reg::rax, Reg::rbx, Reg::rcx, Reg::rdx, Reg::rsi, Reg::rdi,
                              Reg::rsp, Reg::rbp, Reg::r8,  Reg::r9,  Reg::r10, Reg::r11,
                              Reg::r12, Reg::r13, Reg::r14, Reg::r15, Reg::rip, Reg::rflags};
constexpr std::array kSegments{
    Segment{Reg::cs, Reg::cs_limit, Reg::cs_attributes, Reg::cs_base},
    Segment{Reg::ds, Reg::ds_limit, Reg::ds_attributes, Reg::ds_base},
    Segment{Reg::es, Reg::es_limit, Reg::es_attributes, Reg::es_base},
    Segment{Reg::fs, Reg::fs_limit, Reg::fs_attributes, Reg::fs_base},
    Segment{Reg::gs, Reg::gs_limit, Reg::gs_attributes, Reg::gs_base},
    Segment{Reg::ss, Reg::ss_limit, Reg::ss_attributes, Reg::ss_base},
    Segment{Reg::ldt, Reg::ldt_limit, Reg::ldt_attributes, Reg::ldt_base},
    Segment{Reg::tr, Reg::tr_limit, Reg::tr_attributes, Reg::tr_base}};
constexpr std::array kSystem{Reg::gdt_limit, Reg::gdt_base, Reg::idt_limit,
                             Reg::idt_base,  Reg::cr0,      Reg::cr2,
                             Reg::cr3,       Reg::cr4,      Reg::kernel_gs_base};

class QemuState {
 public:
  static std::vector<std::byte> of(const Registers& from) {
    using enum Reg;
    QemuState out;
    out.add<std::uint32_t>(1);  // version
    out.add<std::uint32_t>(kSize);
    for (const Reg reg : kGeneral) out.add(value(from, reg));
    for (const Segment& one : kSegments)
      out.add_segment(value(from, one.selector), value(from, one.limit),
                      value(from, one.attributes), value(from, one.base));
    out.add_segment(0, value(from, gdt_limit), 0, value(from, gdt_base));
    out.add_segment(0, value(from, idt_limit), 0, value(from, idt_base));
    for (const std::uint64_t one :
         {value(from, cr0), std::uint64_t{0}, value(from, cr2), value(from, cr3), value(from, cr4),
          value(from, kernel_gs_base)})
      out.add(one);
    return std::move(out.bytes_);
  }

 private:
  static constexpr std::uint32_t kSize = 0x1b8;

  template <class T>
  void add(T one) {
    const auto bytes = std::as_bytes(std::span(&one, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void add_segment(std::uint64_t selector, std::uint64_t limit, std::uint64_t flags,
                   std::uint64_t base) {
    add(static_cast<std::uint32_t>(selector));
    add(static_cast<std::uint32_t>(limit));
    add(static_cast<std::uint32_t>(flags << 8));  // QEMU keeps them where a descriptor has them
    add(std::uint32_t{0});
    add(base);
  }

  std::vector<std::byte> bytes_;
};

Registers::Mask noted() {
  Registers all;
  for (const Reg reg : kGeneral) all.set(reg, 0);
  for (const Reg reg : kSystem) all.set(reg, 0);
  for (const Segment& one : kSegments)
    for (const Reg reg : {one.selector, one.limit, one.attributes, one.base}) all.set(reg, 0);
  return all.known();
}

}  // namespace

std::vector<UnknownRegisters> unknown_registers(const GuestState& state) {
  constexpr std::size_t kMost = 32;
  const Registers::Mask all = noted();
  std::vector<UnknownRegisters> out;
  std::uint32_t index = 0;
  for (const Registers& one : state.vcpus) {
    const Registers::Mask unknown = all & ~one.known();
    const bool goes_on = !out.empty() && out.back().mask == unknown;
    if (!goes_on && out.size() < kMost) out.push_back({.first = index, .mask = unknown});
    out.back().mask |= unknown;  // rather less is known than what is not
    ++out.back().count;
    ++index;
  }
  std::erase_if(out, [](const UnknownRegisters& one) { return one.mask.none(); });
  return out;
}

Notes make_notes(const GuestState& state, const std::string& text) {
  Notes out;
  std::uint32_t index = 0;
  for (const Registers& one : state.vcpus)
    add_note(out.bytes, "CORE", NT_PRSTATUS, prstatus(one, index++));
  for (const Registers& one : state.vcpus) add_note(out.bytes, "QEMU", 0, QemuState::of(one));
  if (state.vmcoreinfo) {
    out.vmcoreinfo_size = state.vmcoreinfo->size();
    out.vmcoreinfo_at = add_note(out.bytes, "VMCOREINFO", kVmcoreinfoType,
                                 std::as_bytes(std::span(*state.vmcoreinfo)));
  }
  // 1: of our own name's types, JSON.
  add_note(out.bytes, kNoteName, 1, std::as_bytes(std::span(text)));
  return out;
}

std::uint64_t most_note_bytes(const GuestState& state, std::uint64_t text) {
  constexpr std::uint64_t kVcpu = 1024;  // both of its notes
  const std::uint64_t vmcoreinfo =
      state.vmcoreinfo ? state.vmcoreinfo->size() + sizeof(Elf64_Nhdr) + 16 : kMostVmcoreinfo;
  return state.vcpus.size() * kVcpu + vmcoreinfo + text + 64;
}

bool may_be_vmcoreinfo(std::span<const std::byte> head) {
  constexpr std::string_view kBegin("VMCOREINFO\0\0OSRELEASE", 20);
  Elf64_Nhdr note{};
  if (head.size() < sizeof(note) + kBegin.size()) return false;
  std::memcpy(&note, head.data(), sizeof(note));
  return note.n_namesz == 11 && note.n_type == kVmcoreinfoType &&
         std::memcmp(head.data() + sizeof(note), kBegin.data(), kBegin.size()) == 0;
}

std::string vmcoreinfo_of(std::span<const std::byte> page) {
  constexpr std::size_t kText = sizeof(Elf64_Nhdr) + 12;
  if (page.size() < kText || !may_be_vmcoreinfo(page.first(kVmcoreinfoHead))) return {};
  Elf64_Nhdr note{};
  std::memcpy(&note, page.data(), sizeof(note));
  if (note.n_descsz > std::min(kVmcoreinfoInPage, page.size() - kText)) return {};
  const auto body = page.subspan(kText, note.n_descsz);
  std::string text(reinterpret_cast<const char*>(body.data()), body.size());
  // What only looks like it has no such lines.
  if (vmcoreinfo_value(text, "PAGESIZE").empty() || text.find("\nSYMBOL(") == std::string::npos)
    return {};
  return text;
}

std::string vmcoreinfo_value(const std::string& text, const std::string& key) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (text.compare(at, key.size() + 1, key + '=') == 0)
      return text.substr(at + key.size() + 1, end - at - key.size() - 1);
    at = end + 1;
  }
  return {};
}

}  // namespace microvmi::dumper
