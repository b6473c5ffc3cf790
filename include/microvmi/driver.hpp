// SPDX-License-Identifier: Apache-2.0
// Driver: one open connection to one guest, and what it can do.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "microvmi/control.hpp"
#include "microvmi/memory.hpp"

namespace microvmi {

// In the order in which init() tries them.
enum class DriverType : std::uint8_t { xen, kvm, qemu, memflow };
inline constexpr std::array<const char*, 4> kDriverNames{"xen", "kvm", "qemu", "memflow"};
constexpr std::span<const char* const> names(DriverType) { return kDriverNames; }
constexpr const char* name_of(DriverType t) { return kDriverNames[static_cast<std::size_t>(t)]; }

enum class Capability : std::uint8_t {
  memory_write,
  memory_view,
  run_control,
  registers,
  events,
  injection,
  page_access,
  dirty_pages,
  xsave
};
inline constexpr std::array<const char*, 9> kCapabilityNames{
    "memory_write", "memory_view", "run_control", "registers", "events",
    "injection",    "page_access", "dirty_pages", "xsave"};
constexpr std::span<const char* const> names(Capability) { return kCapabilityNames; }

// One more thing that is known of a guest: {"machine", "pc-q35-7.2"}.
struct Fact {
  std::string name;  // lower case words joined by underscores
  std::variant<std::string, std::uint64_t, bool> value;
  bool operator==(const Fact&) const = default;
};

// What is known of the guest; nullopt where the driver cannot tell.
struct GuestInfo {
  std::optional<std::string> vm_name = std::nullopt;
  std::optional<std::uint32_t> pid = std::nullopt;
  std::optional<std::uint32_t> vcpus = std::nullopt;
  std::optional<std::string> connector = std::nullopt;  // where a connector gave the memory
  // What a Linux kernel says of itself for crash and makedumpfile: lines of KEY=VALUE.
  std::optional<std::string> vmcoreinfo = std::nullopt;
  std::vector<Fact> facts{};
};

class Driver {
 public:
  Driver() = default;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  virtual ~Driver() = default;

  [[nodiscard]] virtual PhysicalMemory& memory() = 0;
  [[nodiscard]] virtual GuestInfo info() const { return {}; }

  // Null where the driver cannot do it; asking never fails and the answer never changes.
  [[nodiscard]] virtual RunControl* run_control() { return nullptr; }
  [[nodiscard]] virtual RegisterAccess* registers() { return nullptr; }
  [[nodiscard]] virtual EventControl* events() { return nullptr; }
  [[nodiscard]] virtual Injection* injection() { return nullptr; }
  [[nodiscard]] virtual PageAccessControl* page_access() { return nullptr; }
  [[nodiscard]] virtual DirtyPages* dirty_pages() { return nullptr; }
  [[nodiscard]] virtual XsaveAccess* xsave() { return nullptr; }
};

}  // namespace microvmi
