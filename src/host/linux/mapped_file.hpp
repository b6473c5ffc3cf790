// SPDX-License-Identifier: Apache-2.0
// MappedFile: a regular file or block device in memory, read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "microvmi/error.hpp"

namespace microvmi::host {

class MappedFile {
 public:
  // Anything else (folder, FIFO, socket, terminal) and an empty file are refused by name, without
  // waiting for it.
  [[nodiscard]] static Expected<MappedFile> open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) = delete;
  ~MappedFile();

  // Touching bytes that the file has lost since raises SIGBUS; copy() does not.
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  // How many bytes from the start of `into` were copied; fewer where the file ends or was cut.
  [[nodiscard]] std::size_t copy(std::size_t offset, std::span<std::byte> into) const;

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace microvmi::host
