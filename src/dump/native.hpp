// SPDX-License-Identifier: Apache-2.0
// PartialFile: FILE.partial until it is whole. The one place where a dump meets the system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>

#include "microvmi/error.hpp"

namespace microvmi::dumper {

class PartialFile {
 public:
  // Refuses what dump() says it refuses.
  [[nodiscard]] static Expected<PartialFile> create(const std::filesystem::path& file);

  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&& other) = delete;
  ~PartialFile();  // leaves the file where it is

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // The errno of a write that stopped early, EFAULT where `bytes` cannot be read.
  [[nodiscard]] std::error_code write(std::span<const std::byte> bytes, std::uint64_t offset);

  // Sets the size, waits for the disk if asked to, and gives the file its name.
  [[nodiscard]] Expected<void> commit(std::uint64_t size, bool sync);

  // "cannot WHAT FILE.partial: No space left on device", with a hint where there is one.
  [[nodiscard]] Error failed(const std::string& what, std::error_code why) const;

 private:
  PartialFile(int fd, std::filesystem::path path, std::filesystem::path file)
      : fd_(fd), path_(std::move(path)), file_(std::move(file)) {}
  [[nodiscard]] bool has_its_name() const;

  int fd_;
  std::filesystem::path path_;
  std::filesystem::path file_;
  std::uint64_t unflushed_ = 0;  // bytes since the disk was last told to begin
};

// Brings the pages of a view into this process, so that the write that follows need not wait for
// them; what cannot be brought is left to that write.
void bring_in(std::span<const std::byte> view);

// While it lives, a file that grows too large for RLIMIT_FSIZE is an error and kills no one.
class NoFileSizeSignal {
 public:
  NoFileSizeSignal();
  NoFileSizeSignal(const NoFileSizeSignal&) = delete;
  NoFileSizeSignal& operator=(const NoFileSizeSignal&) = delete;
  ~NoFileSizeSignal();

 private:
  bool was_blocked_ = false;
};

}  // namespace microvmi::dumper
