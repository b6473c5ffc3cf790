// SPDX-License-Identifier: Apache-2.0
// What the pcileech connector and its helper process say to each other, and the memory they share.
//
// A call is a Message over a socket that keeps boundaries, its answer another. All that is longer
// lies in Shared, which only one of the two touches at a time: a call hands its slots over, the
// answer hands them back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace microvmi::pcileech_connector {

// Grows with every change of this file.
inline constexpr std::uint32_t kProtocolVersion = 1;

// The helper program, and the descriptors on which it finds its ends.
inline constexpr const char* kHelperName = "microvmi-leechcore";
inline constexpr int kCallFd = 3;    // calls and answers
inline constexpr int kLifeFd = 4;    // closed by us, the helper ends; from it comes how it ended
inline constexpr int kSharedFd = 5;  // Shared

enum class Op : std::uint8_t { hello, open, map, read, write };

enum class Result : std::uint8_t {
  ok,
  no_library,     // dlopen failed; the reason is in `text`
  no_symbol,      // a library without the function named in `text`
  wrong_version,  // of LeechCore; `version` has it
  no_device,      // LeechCore opened none; why, it has printed
  no_map,         // LeechCore tells no memory map
  map_refused,    // it did not take the one it was given
  no_auto_clear,  // the device cannot, or its bitstream is too old; `version` has the bitstream's
  wrong_call,     // no call of this protocol
};

struct Message {
  Op op{};
  Result result{};
  std::uint32_t first = 0;  // slot, of read and write; version, of hello
  std::uint32_t count = 0;  // slots, of read and write; ranges, of open and map
};

// LeechCore fails a read of more than one page, and one that crosses a page.
inline constexpr std::size_t kSlotSize = 4096;
inline constexpr std::size_t kSlots = 256;

// What is to be moved between a slot and the device. It lies in the slot where it does in its page.
struct Piece {
  std::uint64_t gpa = 0;
  std::uint32_t size = 0;
  std::uint32_t done = 0;  // 1 where it was moved
};

// As LeechCore has it (LC_MEMMAP_ENTRY).
struct Range {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t real = 0;
};

// Texts end with a NUL. LeechCore has room for 259 characters of a device (MAX_PATH).
struct Device {
  std::array<char, 4096> library{};
  std::array<char, 260> device{};
  std::array<char, 260> remote{};
  std::uint32_t auto_clear = 0;
};

// What became of it.
struct Opened {
  std::array<std::uint32_t, 3> version{};  // of LeechCore
  std::uint32_t is_volatile = 0;
  std::uint32_t is_writable = 0;
  std::uint32_t is_remote = 0;
  std::uint64_t end = 0;  // what LeechCore takes for the end of memory
  std::array<char, 260> device{};
  std::array<char, 512> text{};
};

struct Shared {
  std::array<Piece, kSlots> pieces{};
  Device device{};
  Opened opened{};
  // Of the calls open and map: ranges instead of pages.
  alignas(kSlotSize) std::array<std::array<std::byte, kSlotSize>, kSlots> slots{};
};

inline constexpr std::size_t kMostSharedRanges = kSlots * kSlotSize / sizeof(Range);

// How the helper ended, over the life socket: a status as waitpid() gives it.
struct Ended {
  std::int32_t status = 0;
};

}  // namespace microvmi::pcileech_connector
