// SPDX-License-Identifier: Apache-2.0
// The lists of drivers and connectors: those of this build with their code, the others by name.
#include "microvmi/registry.hpp"

#include <array>

// CMake writes these: one MICROVMI_DRIVER(name) or MICROVMI_CONNECTOR(name) for each in the build.
#define MICROVMI_DRIVER(name)      \
  namespace microvmi::name {       \
  extern const DriverInfo kDriver; \
  }
#include "drivers.inc"
#undef MICROVMI_DRIVER

#define MICROVMI_CONNECTOR(name)           \
  namespace microvmi::name##_connector {   \
    extern const ConnectorInfo kConnector; \
  }
#include "connectors.inc"
#undef MICROVMI_CONNECTOR

namespace microvmi {
namespace {

std::array<DriverInfo, kDriverNames.size()> list_drivers() {
  std::array<DriverInfo, kDriverNames.size()> rows{{
      {.type = DriverType::xen, .summary = "Guest of Xen"},
      {.type = DriverType::kvm, .summary = "Guest of KVM with KVMi"},
      {.type = DriverType::qemu, .summary = "Guest of a stock QEMU"},
      {.type = DriverType::memflow, .summary = "Physical memory through a connector"},
  }};
#define MICROVMI_DRIVER(name) rows[static_cast<std::size_t>(name::kDriver.type)] = name::kDriver;
#include "drivers.inc"
#undef MICROVMI_DRIVER
  return rows;
}

std::array<ConnectorInfo, kConnectorNames.size()> list_connectors() {
  std::array<ConnectorInfo, kConnectorNames.size()> rows{{
      {.type = Connector::qemu_procfs, .summary = "QEMU process read through /proc"},
      {.type = Connector::kvm, .summary = "KVM guest of any program, by its process"},
      {.type = Connector::pcileech, .summary = "Machine behind a LeechCore device"},
      {.type = Connector::coredump, .summary = "Memory image in a file"},
  }};
#define MICROVMI_CONNECTOR(name) \
  rows[static_cast<std::size_t>(name##_connector::kConnector.type)] = name##_connector::kConnector;
#include "connectors.inc"
#undef MICROVMI_CONNECTOR
  return rows;
}

}  // namespace

std::span<const DriverInfo> drivers() {
  static const auto rows = list_drivers();
  return rows;
}

std::span<const ConnectorInfo> connectors() {
  static const auto rows = list_connectors();
  return rows;
}

}  // namespace microvmi
