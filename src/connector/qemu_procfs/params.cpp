// SPDX-License-Identifier: Apache-2.0
// The rule between map-base and map-size.
#include "microvmi/connector/qemu_procfs.hpp"

namespace microvmi {

param::Checked QemuProcfsParams::check() const {
  if (map_base.has_value() == map_size.has_value()) return {};
  return std::unexpected(map_base ? "has a map-base without its map-size"
                                  : "has a map-size without its map-base");
}

}  // namespace microvmi
