// SPDX-License-Identifier: Apache-2.0
// SlotLayout: where a VM's memory is in its process, from the kernel's memory slots or from QEMU.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connector/kvm/find.hpp"
#include "host/bpf/memslots.hpp"
#include "host/linux/maps.hpp"
#include "host/linux/snapshot.hpp"
#include "microvmi/wait.hpp"
#include "qemu/layout_finder.hpp"

namespace microvmi::kvm_connector {

// The guest's memory as the slots of its first address space tell, and what is left out of it.
struct SlotView {
  host::Layout layout{};
  std::vector<std::string> notes{};
};

// Errc::not_supported where the memory is encrypted or private to the guest, and says by what.
// Memory of devices that the process has mapped is left out: reading it may do something.
[[nodiscard]] Expected<SlotView> view_of(const host::SlottedVm& vm,
                                         std::span<const host::Mapping> maps);

// Threads: one at a time.
class SlotLayout {
 public:
  enum class Source : std::uint8_t { slots, qemu };

  [[nodiscard]] static Expected<SlotLayout> open(const VmProcess& process);

  [[nodiscard]] Expected<host::Layout> find(const Wait& wait);

  [[nodiscard]] Source source() const { return reader_ ? Source::slots : Source::qemu; }
  // Why the slots are not known, and what the layout lacks.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  // How long it took until the slots could be read for the first time.
  [[nodiscard]] std::chrono::microseconds load_time() const { return load_time_; }

 private:
  explicit SlotLayout(const VmProcess& process) : process_(process) {}
  [[nodiscard]] Expected<host::Layout> from_slots();

  VmProcess process_;
  std::unique_ptr<host::MemslotReader> reader_;
  std::optional<qemu::LayoutFinder> qemu_;  // where there is no reader
  std::optional<std::uint64_t> identity_;   // of the VM that was found first
  std::vector<std::string> notes_;
  std::chrono::microseconds load_time_{};
};

}  // namespace microvmi::kvm_connector
