// SPDX-License-Identifier: Apache-2.0
// The tags of a VMware checkpoint (.vmss, .vmsn), as crash's vmware_vmss.h describes them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {

struct VmwareRegion {
  std::uint64_t frame = 0;  // in guest memory
  std::uint64_t page = 0;   // in the file
  std::uint64_t pages = 0;
};

// Guest memory that lies in the checkpoint itself.
struct VmwareBlock {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  bool is_compressed = false;
};

struct VmwareCheckpoint {
  std::vector<VmwareRegion> regions{};  // empty where memory has no hole
  std::optional<VmwareBlock> memory = std::nullopt;
  std::uint32_t vcpus = 0;
  std::vector<Registers> registers{};
};

[[nodiscard]] bool is_vmware_checkpoint(const host::MappedFile& file);

// `name` is that of the checkpoint, for errors.
[[nodiscard]] Expected<VmwareCheckpoint> read_vmware_checkpoint(const host::MappedFile& file,
                                                                const std::string& name,
                                                                const Wait& wait);

}  // namespace microvmi::coredump_connector
