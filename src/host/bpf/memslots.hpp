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
  static constexpr std::uint32_t kEachPass = 512;  // of 48 bytes, for a buffer of 8 pages

  // Loads the program, which takes some 40 ms of processor time, mostly for BTF. permission_denied:
  // BPF is not for us; not_supported: this kernel or this build cannot; each says what is missing.
  // `each_pass`: how many slots the program tells at once, at most what the kernel's buffer holds.
  [[nodiscard]] static Expected<std::unique_ptr<MemslotReader>> open(
      std::uint32_t pid, std::uint32_t each_pass = kEachPass);

  MemslotReader() = default;
  MemslotReader(const MemslotReader&) = delete;
  MemslotReader& operator=(const MemslotReader&) = delete;
  virtual ~MemslotReader() = default;

  // One for each VM that the process has open, by descriptor; none where it has none. Errc::busy
  // where the slots never stood still.
  [[nodiscard]] virtual Expected<std::vector<SlottedVm>> read() = 0;
};

}  // namespace microvmi::host
