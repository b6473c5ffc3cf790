// SPDX-License-Identifier: Apache-2.0
// The headers of a kdump-compressed dump, of 64-bit and of 32-bit machines.
#pragma once

#include <cstdint>
#include <string>

#include "codec/codec.hpp"
#include "connector/coredump/bytes.hpp"

namespace microvmi::coredump_connector {

struct Place {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

struct KdumpHeader {
  unsigned bits = 64;  // of the machine that wrote it
  std::int32_t version = 0;
  std::uint32_t status = 0;  // how pages are compressed, and what is wrong with the dump
  std::uint64_t block_size = 0;
  std::uint64_t bitmap_size = 0;  // bytes of one of the two
  std::uint64_t bitmaps = 0;      // where the first of them begins
  std::uint64_t descriptors = 0;  // where those of the pages begin
  std::uint64_t pages = 0;        // bits of a bitmap that count
  std::uint32_t dump_level = 0;   // what was left out, as makedumpfile's -d
  bool is_split = false;          // one file of several, with the pages from first to last
  std::uint64_t first_page = 0;
  std::uint64_t last_page = 0;  // one past it
  std::uint64_t phys_base = 0;
  std::uint64_t seconds = 0;  // when it was made, since 1970; 0 where it does not say
  std::uint32_t vcpus = 0;
  std::string release{};  // of the kernel, as uname -r
  std::string machine{};  // as uname -m
  Place vmcoreinfo{};
  Place notes{};
  std::string identity{};  // equal in all files of one split dump
};

// The flags of a page descriptor, and of the header's status; as in makedumpfile's diskdump_mod.h.
inline constexpr std::uint32_t kKdumpZlib = 0x1;
inline constexpr std::uint32_t kKdumpLzo = 0x2;
inline constexpr std::uint32_t kKdumpSnappy = 0x4;
inline constexpr std::uint32_t kKdumpZstd = 0x20;
inline constexpr std::uint32_t kKdumpIncomplete = 0x8;

// What pages with these flags are compressed with; null where they are not.
[[nodiscard]] Expected<const codec::Codec*> kdump_codec(std::uint32_t flags);

[[nodiscard]] bool is_kdump(const Bytes& bytes);
[[nodiscard]] Expected<KdumpHeader> read_kdump_header(const Bytes& bytes, const std::string& name);

}  // namespace microvmi::coredump_connector
