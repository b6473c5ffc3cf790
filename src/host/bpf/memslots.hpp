// SPDX-License-Identifier: Apache-2.0
// MemslotReader: the memory slots of the KVM virtual machines of a process, as the kernel has them.
//
// A BPF program walks the kernel's own lists; the process is neither stopped nor asked. In a build
// without libbpf or clang there is none, and open() says so.
#pragma once

#include <memory>
#include <vector>

#include "host/bpf/memslot_records.hpp"
#include "microvmi/error.hpp"

namespace microvmi::host {

// Threads: read() from one at a time.
class MemslotReader {
 public:
  // Loads the program, which takes some 10 ms. permission_denied: BPF is not for us; not_supported:
  // this kernel or this build cannot; each says what is missing.
  [[nodiscard]] static Expected<std::unique_ptr<MemslotReader>> open(std::uint32_t pid);

  MemslotReader() = default;
  MemslotReader(const MemslotReader&) = delete;
  MemslotReader& operator=(const MemslotReader&) = delete;
  virtual ~MemslotReader() = default;

  // One for each VM that the process has open, by descriptor; none where it has none. Errc::busy
  // where the slots never stood still.
  [[nodiscard]] virtual Expected<std::vector<SlottedVm>> read() = 0;
};

}  // namespace microvmi::host
