// SPDX-License-Identifier: Apache-2.0
// Bare: guest frames mapped by Xen's own library alone, for what tests compare with and what
// benchmarks race against. Its C functions are those of xenforeignmemory.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "support/qmp_truth.hpp"

namespace microvmi::test::xen {

class Bare {
 public:
  [[nodiscard]] static Outcome<Bare> open(std::uint16_t domid);

  // One mapping of these frames, copied to `into`, and unmapped; false where one cannot be mapped.
  [[nodiscard]] bool copy(std::span<const std::uint64_t> frames, std::span<std::byte> into) const;

  // Which of the frames cannot be mapped.
  [[nodiscard]] std::vector<bool> holes(std::span<const std::uint64_t> frames) const;

  [[nodiscard]] Outcome<std::vector<std::byte>> read(std::uint64_t gpa, std::size_t size) const;

 private:
  struct Library;
  using Handle = std::unique_ptr<void, int (*)(void*)>;

  Bare(const Library* library, Handle handle, std::uint16_t domid)
      : library_(library), handle_(std::move(handle)), domid_(domid) {}

  static const Library* library();

  const Library* library_;
  Handle handle_;
  std::uint16_t domid_;
};

}  // namespace microvmi::test::xen
