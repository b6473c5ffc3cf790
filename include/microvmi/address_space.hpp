// SPDX-License-Identifier: Apache-2.0
// AddressSpace: what an x86 guest's page tables make of a virtual address.
//
//   vm.translate(*vm.address_space(VcpuId{0}), gva)      as that vCPU sees it now
//   vm.translate(cr3, gva)                               where cr3 alone is known: 4-level paging
//   VirtualMemory memory(vm.memory(), space);            reads and writes by virtual address
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "microvmi/memory.hpp"
#include "microvmi/registers.hpp"

namespace microvmi {

enum class PagingMode : std::uint8_t { none, two_level, pae, four_level, five_level };
inline constexpr std::array<const char*, 5> kPagingModeNames{"none", "2-level", "pae", "4-level",
                                                             "5-level"};
constexpr std::span<const char* const> names(PagingMode) { return kPagingModeNames; }
constexpr const char* name_of(PagingMode mode) {
  return kPagingModeNames[static_cast<std::size_t>(mode)];
}

struct AddressSpace {
  std::uint64_t cr3 = 0;
  PagingMode mode = PagingMode::four_level;
  bool large_pages = true;          // CR4.PSE, which matters to 2-level paging alone
  bool no_execute = true;           // EFER.NXE; bit 63 of an entry is reserved without it
  std::uint8_t physical_bits = 52;  // the guest's MAXPHYADDR; entries have no bits above it

  // not_supported: it depends on a register that is unknown, which the message names.
  [[nodiscard]] static Expected<AddressSpace> of(const Registers& registers);

  bool operator==(const AddressSpace&) const = default;
};

// Where a virtual address is, and what every level on the way to it allows.
struct Mapping {
  Gpa gpa{};
  std::uint64_t page_size = 0;  // 4K, 2M, 4M or 1G; 4K where there is no paging
  bool writable = false;
  bool user = false;
  bool executable = false;
};

struct TableEntry {
  unsigned level;  // 5 to 1, from the root on
  Gpa gpa;         // of the entry itself
  std::uint64_t value;
};

struct Translation : Mapping {
  // Entries that are not there stay unset: clearing them took as long as two reads of a table.
  Translation() {}  // NOLINT(modernize-use-equals-default)

  std::array<TableEntry, 5> entries;
  std::uint8_t depth = 0;

  [[nodiscard]] std::span<const TableEntry> levels() const {
    return std::span(entries).first(depth);
  }
};

// Reads the tables at each call. The address need not lead to RAM: a guest maps devices too.
// Errors name level, address and value of the entry:
//   hole              the address is not mapped, or a table is where there is no memory
//   protocol          an entry has reserved bits, with which no access succeeds
//   invalid_argument  no address of this mode
[[nodiscard]] Expected<Translation> translate(const PhysicalMemory& memory,
                                              const AddressSpace& space, Gva gva);

// Guest memory by virtual address. Translations are kept, so that those of a guest that changes its
// tables have to be dropped with forget(); translate() above never keeps any.
//
// Threads: one at a time for each object; make one for each thread.
class VirtualMemory {
 public:
  VirtualMemory(PhysicalMemory& memory, const AddressSpace& space);

  [[nodiscard]] const AddressSpace& space() const { return space_; }

  [[nodiscard]] Expected<Mapping> translate(Gva gva);

  // Across pages. Where it fails the error's place is the first address that could not be read or
  // written, and all before it was. Rights in the tables do not bind who looks from outside.
  [[nodiscard]] Expected<void> read(Gva gva, std::span<std::byte> buffer);
  [[nodiscard]] Expected<void> write(Gva gva, std::span<const std::byte> bytes);

  template <Plain T>
  [[nodiscard]] Expected<T> read_value(Gva gva) {
    T value{};
    if (auto done = read(gva, std::as_writable_bytes(std::span(&value, 1))); !done)
      return std::unexpected(std::move(done.error()));
    return value;
  }

  // What was kept, wholly.
  void forget();

 private:
  struct Slot {
    std::uint64_t page = 0;  // number of the virtual page, plus one; 0 where it is empty
    Mapping mapping{};       // of its first byte
  };

  template <class Request, class Bytes>
  Expected<void> transfer(Gva gva, Bytes bytes);

  PhysicalMemory* memory_;
  AddressSpace space_;
  std::vector<Slot> slots_;
};

}  // namespace microvmi
