// SPDX-License-Identifier: Apache-2.0
// PhysicalMemory: a guest's physical memory, read in batches.
//
// Threads: read() and view() from several at once; write() and refresh() from one at a time.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "microvmi/address.hpp"
#include "microvmi/error.hpp"

namespace microvmi {

struct MemoryRegion {
  enum class Kind : std::uint8_t { ram, rom };

  Gpa gpa{};
  std::uint64_t size = 0;
  Kind kind = Kind::ram;

  [[nodiscard]] Gpa end() const { return gpa + size; }
  bool operator==(const MemoryRegion&) const = default;
};

// One moment's layout: regions sorted, page-aligned, apart from each other.
struct MemoryMap {
  std::vector<MemoryRegion> regions{};
  bool exact = true;             // false where only an upper bound is known
  std::uint64_t generation = 0;  // grows when the layout changes

  // One past the last byte of RAM.
  [[nodiscard]] Gpa end_of_memory() const;

  // The region that holds this address; null in a hole.
  [[nodiscard]] const MemoryRegion* find(Gpa gpa) const;
};

struct ReadRequest {
  Gpa gpa{};
  std::span<std::byte> into{};
  std::size_t done = 0;  // bytes from the start that are valid
  Errc status = Errc::none;
  Gpa failed_at{};  // the first address that could not be read
};

struct WriteRequest {
  Gpa gpa{};
  std::span<const std::byte> from{};
  std::size_t done = 0;
  Errc status = Errc::none;
  Gpa failed_at{};
};

// The front of a range: bytes that nobody has touched and that read as zeros, and those behind
// them that somebody may have. Where both end before the range does, ask again from there.
struct Touched {
  std::uint64_t skip = 0;
  std::uint64_t size = 0;
  bool operator==(const Touched&) const = default;
};

// Guest memory in place, without a copy. It owns its mapping, so it outlives the Vm.
class View {
 public:
  View() = default;
  View(std::shared_ptr<const void> mapping, std::span<const std::byte> bytes)
      : mapping_(std::move(mapping)), bytes_(bytes) {}

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  explicit operator bool() const { return !bytes_.empty(); }

 private:
  std::shared_ptr<const void> mapping_;
  std::span<const std::byte> bytes_;
};

template <class T>
concept Plain = std::is_trivially_copyable_v<T> && std::default_initializable<T>;

class PhysicalMemory {
 public:
  PhysicalMemory() = default;
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;
  virtual ~PhysicalMemory() = default;

  [[nodiscard]] virtual std::shared_ptr<const MemoryMap> map() const = 0;

  // Looks at the layout again, after hot-plug or ballooning.
  [[nodiscard]] virtual Expected<void> refresh() = 0;

  // Whether write() can work at all, and whether view() ever gives one; constant for its life.
  [[nodiscard]] virtual bool writable() const { return false; }
  [[nodiscard]] virtual bool viewable() const { return false; }

  // Zero copy; empty where that is impossible, for then read() still may work.
  [[nodiscard]] virtual View view(Gpa gpa, std::size_t size) const;

  // Untouched memory costs the host nothing until it is read: who wants it all asks here first.
  // The whole range where that cannot be known, which is the default.
  [[nodiscard]] virtual Touched touched(Gpa gpa, std::uint64_t size) const;

  // Each request gets its own answer, whatever becomes of the others.
  void read(std::span<ReadRequest> batch) const;
  void write(std::span<WriteRequest> batch);

  // Whole or not at all; the error's place is the first address that failed.
  [[nodiscard]] Expected<void> read(Gpa gpa, std::span<std::byte> buffer) const;
  [[nodiscard]] Expected<void> write(Gpa gpa, std::span<const std::byte> bytes);

  // Puts `pad` where there are holes and says how many bytes that were.
  [[nodiscard]] Expected<std::uint64_t> read_padded(Gpa gpa, std::span<std::byte> buffer,
                                                    std::byte pad = {}) const;

  template <Plain T>
  [[nodiscard]] Expected<T> read_value(Gpa gpa) const {
    T value{};
    if (auto done = read(gpa, std::as_writable_bytes(std::span(&value, 1))); !done)
      return std::unexpected(std::move(done.error()));
    return value;
  }

  template <Plain T>
  [[nodiscard]] Expected<void> write_value(Gpa gpa, const T& value) {
    return write(gpa, std::as_bytes(std::span(&value, 1)));
  }

 protected:
  // No request is empty or runs past the last address; done, status and failed_at are at rest.
  virtual void read_batch(std::span<ReadRequest> batch) const = 0;
  virtual void write_batch(std::span<WriteRequest> batch);  // refuses each: not_supported
};

}  // namespace microvmi
