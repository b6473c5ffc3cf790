// SPDX-License-Identifier: Apache-2.0
// Bytes: what a dump's file says, wherever in it that lies: as it is, or as the records of a
// flattened file place it.
//
// Threads: copy() from several at once.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "connector/coredump/extents.hpp"
#include "host/linux/mapped_file.hpp"

namespace microvmi::coredump_connector {

class Bytes {
 public:
  // Reads the records of a flattened file, of any other nothing.
  [[nodiscard]] static Expected<Bytes> open(std::shared_ptr<const host::MappedFile> file,
                                            const std::string& name, const Wait& wait);
  Bytes(Bytes&& other) noexcept
      : file_(std::move(other.file_)),
        records_(std::move(other.records_)),
        size_(other.size_),
        is_flattened_(other.is_flattened_),
        is_cut_off_(other.is_cut_off_) {}
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  Bytes& operator=(Bytes&& other) noexcept {
    file_ = std::move(other.file_);
    records_ = std::move(other.records_);
    size_ = other.size_;
    is_flattened_ = other.is_flattened_;
    is_cut_off_ = other.is_cut_off_;
    last_ = 0;
    return *this;
  }
  ~Bytes() = default;

  [[nodiscard]] std::uint64_t size() const { return size_; }  // one past the last byte
  [[nodiscard]] bool is_flattened() const { return is_flattened_; }
  [[nodiscard]] bool is_cut_off() const { return is_cut_off_; }  // a flattened file has no end mark

  // Whether all of it is there.
  [[nodiscard]] bool copy(std::uint64_t offset, std::span<std::byte> into) const {
    if (is_flattened_) return copy_flattened(offset, into);
    return offset < size_ && file_->copy(offset, into) == into.size();
  }
  template <Plain T>
  [[nodiscard]] bool get(std::uint64_t offset, T& into) const {
    return copy(offset, std::as_writable_bytes(std::span(&into, 1)));
  }

 private:
  explicit Bytes(std::shared_ptr<const host::MappedFile> file)
      : file_(std::move(file)), size_(file_->size()) {}
  [[nodiscard]] Expected<void> read_records(const std::string& name, const Wait& wait);
  [[nodiscard]] bool copy_flattened(std::uint64_t offset, std::span<std::byte> into) const;
  [[nodiscard]] const Extent* record_at(std::uint64_t offset) const;

  std::shared_ptr<const host::MappedFile> file_;
  std::vector<Extent> records_{};  // an extent's gpa is the place in what was flattened
  std::uint64_t size_ = 0;
  bool is_flattened_ = false;
  bool is_cut_off_ = false;
  mutable std::atomic<std::uint32_t> last_ = 0;  // the record of the last copy, for the next one
};

}  // namespace microvmi::coredump_connector
