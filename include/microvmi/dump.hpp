// SPDX-License-Identifier: Apache-2.0
// dump: writes a guest's physical memory to a file.
//
// Threads: one dump of a Vm at a time; other threads may read its memory meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "microvmi/error.hpp"
#include "microvmi/vm.hpp"
#include "microvmi/wait.hpp"

namespace microvmi {

// elf: an ELF64 core, one segment for each piece of memory, holes absent.
// raw: the guest's address is the file's offset, from 0 to the end of RAM; holes read as zeros.
// lime: LiME version 1, a record for each piece of memory.
// kdump_zlib, kdump_zstd: as makedumpfile writes them, each page compressed on its own, by all
// cores. elf and kdump have the registers of the vCPUs, where the driver has them, and what a Linux
// kernel says of itself (VMCOREINFO), where that is known or found in the memory that goes by.
// raw and kdump have no firmware behind the end of RAM.
enum class ImageFormat : std::uint8_t { elf, raw, lime, kdump_zlib, kdump_zstd };
inline constexpr std::array<const char*, 5> kImageFormatNames{"elf", "raw", "lime", "kdump-zlib",
                                                              "kdump-zstd"};
constexpr std::span<const char* const> names(ImageFormat) { return kImageFormatNames; }
constexpr const char* name_of(ImageFormat f) {
  return kImageFormatNames[static_cast<std::size_t>(f)];
}

// Whether a format has ROM that lies behind the end of RAM. makedumpfile leaves it out too, and
// does not read again a dump that goes on behind the pages that the kernel knows.
constexpr bool has_firmware(ImageFormat format) {
  return format == ImageFormat::elf || format == ImageFormat::lime;
}

// How far a dump is, in bytes of guest memory; it only grows.
struct DumpProgress {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  Gpa at{};  // everything of the map below it is done
};

struct DumpOptions {
  ImageFormat format = ImageFormat::elf;
  Wait wait{};  // looked at between any two pieces of a few MiB
  // Called by the thread that called dump(): at the beginning, about ten times a second, at the
  // end. It must not throw.
  std::function<void(const DumpProgress&)> progress{};
  // The file is on the disk before it gets its name, so that it is whole after a power failure
  // too. Without it a late write error of a network or full file system can go unseen.
  bool sync = true;
};

struct DumpReport {
  std::filesystem::path file{};
  std::uint64_t bytes = 0;      // of guest memory that are in the file
  std::uint64_t file_size = 0;  // pages of zeros count, though they take no room on the disk
  std::uint64_t padded = 0;     // raw: bytes that read as zeros because there was nothing to read
  // Bytes that the map has but that were gone when their turn came, a balloon for example. An elf
  // dump leaves them out and lists them in its note; lime and kdump leave them out; in a raw one
  // they are part of `padded`.
  std::uint64_t unreadable = 0;
  std::optional<Gpa> first_unreadable = std::nullopt;
  std::uint32_t vcpus = 0;  // whose registers are in the file
  // Why there are none, though the driver has registers.
  std::optional<Error> no_registers = std::nullopt;
  bool vmcoreinfo = false;  // whether it is in the file
  // How many of `bytes` come from the dump before, because nobody wrote them since; see DumpSeries.
  std::uint64_t reused = 0;
};

// Why there is no dump. The message names the partial file and the address reached.
struct DumpError : Error {
  std::filesystem::path partial{};  // what was written so far; empty where nothing was
  Gpa reached{};                    // everything of the map below it is in the partial file
};

// Writes FILE.partial, readable by its owner alone, and renames it when it is whole: FILE is never
// half a dump. A FILE that exists is replaced in that moment; what is no regular file (a link, a
// device, a pipe) is refused, and so is a FILE.partial that is not a regular file of this user's.
// The guest is not paused here.
[[nodiscard]] std::expected<DumpReport, DumpError> dump(Vm& vm, const std::filesystem::path& file,
                                                        const DumpOptions& options = {});

// Dumps of one guest, one after the other: the first reads all of it, each later one what may have
// been written since the one before and takes the rest from that. Every file is whole by itself.
// The file before may be moved or deleted in between, but not changed. Needs
// Capability::dirty_pages.
class DumpSeries {
 public:
  // The Vm must outlive it.
  [[nodiscard]] static Expected<DumpSeries> begin(Vm& vm);
  DumpSeries(const DumpSeries&) = delete;
  DumpSeries& operator=(const DumpSeries&) = delete;
  DumpSeries(DumpSeries&& other) noexcept;
  DumpSeries& operator=(DumpSeries&& other) = delete;
  ~DumpSeries();  // written pages are not tracked any more

  // As dump(). After one that failed the next reads everything.
  [[nodiscard]] std::expected<DumpReport, DumpError> next(const std::filesystem::path& file,
                                                          const DumpOptions& options = {});

 private:
  struct State;
  explicit DumpSeries(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace microvmi
