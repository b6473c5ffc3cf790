// SPDX-License-Identifier: Apache-2.0
// Which page tables a vCPU uses, from its control registers (Intel SDM vol. 3A 4.1.1).
#include <string>

#include "microvmi/address_space.hpp"

namespace microvmi {
namespace {

// Intel SDM vol. 3A 2.5 (CR0, CR4) and vol. 4 table 2-2 (IA32_EFER).
constexpr std::uint64_t kCr0Pg = 1ULL << 31;
constexpr std::uint64_t kCr4Pse = 1ULL << 4;
constexpr std::uint64_t kCr4Pae = 1ULL << 5;
constexpr std::uint64_t kCr4La57 = 1ULL << 12;
constexpr std::uint64_t kEferLme = 1ULL << 8;
constexpr std::uint64_t kEferLma = 1ULL << 10;
constexpr std::uint64_t kEferNxe = 1ULL << 11;

Expected<std::uint64_t> need(const Registers& registers, Reg reg) {
  if (const auto value = registers[reg]) return *value;
  return fail(Errc::not_supported,
              std::string("how addresses are translated is not known: this driver does not tell ") +
                  kRegisters[static_cast<std::size_t>(reg)].name,
              {}, "say which page tables and which mode");
}

PagingMode mode_of(std::uint64_t cr4, std::uint64_t efer) {
  if ((cr4 & kCr4Pae) == 0) return PagingMode::two_level;
  // LMA is LME while paging is on; who reports only what was written does not tell it.
  if ((efer & (kEferLma | kEferLme)) == 0) return PagingMode::pae;
  return (cr4 & kCr4La57) != 0 ? PagingMode::five_level : PagingMode::four_level;
}

// Dumps of QEMU have no EFER. In 64-bit mode CS has L (vol. 3A 5.2.1), and only with IA-32e mode
// are there addresses above 4 GiB in these registers: a 32-bit program's vCPU has its kernel's
// tables.
bool is_surely_long(const Registers& registers) {
  constexpr std::uint64_t kLong = 1 << 13;
  constexpr std::uint64_t k4GiB = 1ULL << 32;
  if ((registers[Reg::cs_attributes].value_or(0) & kLong) != 0) return true;
  return registers[Reg::gdt_base].value_or(0) >= k4GiB ||
         registers[Reg::idt_base].value_or(0) >= k4GiB;
}

}  // namespace

Expected<AddressSpace> AddressSpace::of(const Registers& registers) {
  const auto cr0 = need(registers, Reg::cr0);
  if (!cr0) return std::unexpected(cr0.error());
  if ((*cr0 & kCr0Pg) == 0)
    return AddressSpace{.cr3 = registers[Reg::cr3].value_or(0), .mode = PagingMode::none};
  const auto cr3 = need(registers, Reg::cr3);
  if (!cr3) return std::unexpected(cr3.error());
  const auto cr4 = need(registers, Reg::cr4);
  if (!cr4) return std::unexpected(cr4.error());
  AddressSpace space{.cr3 = *cr3,
                     .mode = PagingMode::two_level,
                     .large_pages = (*cr4 & kCr4Pse) != 0,
                     .no_execute = false};
  if ((*cr4 & kCr4Pae) == 0) return space;
  if (!registers[Reg::efer] && is_surely_long(registers)) {
    space.mode = mode_of(*cr4, kEferLma);
    space.no_execute = true;  // unknown: bit 63 is allowed, not demanded
    return space;
  }
  const auto efer = need(registers, Reg::efer);
  if (!efer) return std::unexpected(efer.error());
  space.mode = mode_of(*cr4, *efer);
  space.no_execute = (*efer & kEferNxe) != 0;
  return space;
}

}  // namespace microvmi
