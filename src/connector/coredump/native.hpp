// SPDX-License-Identifier: Apache-2.0
// MappedFile: the one place where this driver meets the operating system.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "microvmi/error.hpp"

namespace microvmi::coredump_connector {

class MappedFile {
 public:
  [[nodiscard]] static Expected<MappedFile> open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace microvmi::coredump_connector
