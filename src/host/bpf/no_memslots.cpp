// SPDX-License-Identifier: Apache-2.0
// A build without libbpf, or without a clang that makes BPF programs.
#include "host/bpf/memslots.hpp"

namespace microvmi::host {

Expected<std::unique_ptr<MemslotReader>> MemslotReader::open(std::uint32_t, std::uint32_t) {
  return fail(Errc::not_supported,
              "reading KVM's memory slots by BPF is not built in (needs clang and libbpf)");
}

}  // namespace microvmi::host
