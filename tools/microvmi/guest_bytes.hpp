// SPDX-License-Identifier: Apache-2.0
// GuestBytes: a guest's memory by physical or by virtual address, for commands that take either.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "microvmi/vm.hpp"
#include "vcpu_options.hpp"

namespace microvmi::tool {

// How far a transfer came, and why not further.
struct Transferred {
  std::size_t done = 0;
  Errc status = Errc::none;
  std::string why{};  // a sentence, where it failed
};

class GuestBytes {
 public:
  // Physical where there is no address space.
  GuestBytes(Vm& vm, const std::optional<AddressSpace>& space) : vm_(vm) {
    if (space) virtual_.emplace(vm.memory(), *space);
  }

  [[nodiscard]] bool is_virtual() const { return virtual_.has_value(); }
  [[nodiscard]] Transferred read(std::uint64_t address, std::span<std::byte> into);
  [[nodiscard]] Transferred write(std::uint64_t address, std::span<const std::byte> bytes);

  // The same, with `pad` where there is no memory.
  [[nodiscard]] Transferred read_padded(std::uint64_t address, std::span<std::byte> into,
                                        std::byte pad);

 private:
  Vm& vm_;
  std::optional<VirtualMemory> virtual_;
};

// The flag --gva beside the options that say whose page tables are meant.
struct AddressKind {
  bool is_virtual = false;
  SpaceOptions space;

  void declare(CLI::App& app);
  void check(Session& session);
  // Nothing for physical addresses.
  [[nodiscard]] Result<std::optional<AddressSpace>> resolve(Vm& vm) const;
  [[nodiscard]] const char* json_key() const { return is_virtual ? "gva" : "gpa"; }
};

}  // namespace microvmi::tool
