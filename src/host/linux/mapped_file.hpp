// SPDX-License-Identifier: Apache-2.0
// MappedFile: a regular file or block device in memory, read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "host/linux/descriptor.hpp"
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

  // How many bytes from the start of `into` were copied; fewer where the file ends or was cut. The
  // zeros that the kernel shows between a new end and the end of its page are not counted.
  [[nodiscard]] std::size_t copy(std::size_t offset, std::span<std::byte> into) const;

 private:
  MappedFile(std::span<const std::byte> bytes, Descriptor file)
      : bytes_(bytes), file_(std::move(file)) {}
  [[nodiscard]] std::size_t still_there(std::size_t offset, std::size_t size) const;

  std::span<const std::byte> bytes_;
  Descriptor file_;  // of a regular file; a block device keeps its size
};

}  // namespace microvmi::host
