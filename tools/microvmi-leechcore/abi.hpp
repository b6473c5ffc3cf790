// SPDX-License-Identifier: Apache-2.0
// The binary interface of LeechCore 2, from what a compiled program printed of its header.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace microvmi::leechcore {

using Handle = void*;
using Bool = std::int32_t;  // BOOL of Windows

inline constexpr std::uint32_t kConfigVersion = 0xc0fd0002;
inline constexpr std::uint32_t kScatterVersion = 0xc0fe0002;
inline constexpr std::uint32_t kErrorInfoVersion = 0xc0fe0002;

// What it prints: errors, and what it does when it opens a device.
inline constexpr std::uint32_t kPrintErrors = 1;
inline constexpr std::uint32_t kPrintMore = 2;

struct Config {
  std::uint32_t version = kConfigVersion;
  std::uint32_t verbosity = 0;
  std::array<char, 260> device{};
  std::array<char, 260> remote{};
  int (*print)(const char* format, ...) = nullptr;  // printf() where null
  std::uint64_t end = 0;                            // of memory, where it is known; else probed for
  Bool is_volatile = 0;
  Bool is_writable = 0;
  Bool is_remote = 0;
  Bool no_compression = 0;
  std::array<char, 260> device_name{};
};
static_assert(sizeof(Config) == 824 && offsetof(Config, print) == 528 &&
              offsetof(Config, end) == 536 && offsetof(Config, device_name) == 560);

struct ErrorInfo {
  std::uint32_t version = 0;
  std::uint32_t size = 0;
  std::array<std::uint32_t, 16> unused{};
  Bool asks_user = 0;
  std::uint32_t characters = 0;  // of UTF-16, which follow
};
static_assert(sizeof(ErrorInfo) == 80 && offsetof(ErrorInfo, characters) == 76);

// One page or a part of it. Rules: 8 to 4096 bytes, whole dwords, in one page; `done` is 0 before.
struct Scatter {
  std::uint32_t version = kScatterVersion;
  Bool done = 0;
  std::uint64_t gpa = 0;
  std::byte* bytes = nullptr;
  std::uint32_t size = 0;
  std::uint32_t stack_top = 0;
  std::array<std::uint64_t, 12> stack{};
};
static_assert(sizeof(Scatter) == 128 && offsetof(Scatter, bytes) == 16 &&
              offsetof(Scatter, stack_top) == 28 && offsetof(Scatter, stack) == 32);

// Options and commands, LC_OPT_* and LC_CMD_*.
inline constexpr std::uint64_t kOptionVersionMajor = 0x4000000500000000;
inline constexpr std::uint64_t kOptionVersionMinor = 0x4000000600000000;
inline constexpr std::uint64_t kOptionVersionRevision = 0x4000000700000000;
inline constexpr std::uint64_t kOptionFpgaMajor = 0x0300008200000000;
inline constexpr std::uint64_t kOptionFpgaMinor = 0x0300008300000000;
inline constexpr std::uint64_t kCommandMapGet = 0x4000040000000000;
inline constexpr std::uint64_t kCommandMapSet = 0x4000050000000000;
inline constexpr std::uint64_t kCommandFpgaRegister = 0x0000010800000000;  // PCIe, with a mask

// Of a real base in a map that is 0, which otherwise means "the same" (LC_MEMMAP_FORCE_OFFSET).
inline constexpr std::uint64_t kRealIsZero = 0x8000000000000000;

struct Functions {
  Handle (*create)(Config* config, ErrorInfo** error) = nullptr;
  void (*free)(void* memory) = nullptr;
  void (*read)(Handle device, std::uint32_t count, Scatter** pieces) = nullptr;
  void (*write)(Handle device, std::uint32_t count, Scatter** pieces) = nullptr;
  Bool (*get)(Handle device, std::uint64_t option, std::uint64_t* value) = nullptr;
  Bool (*command)(Handle device, std::uint64_t command, std::uint32_t size_in, std::byte* in,
                  std::byte** out, std::uint32_t* size_out) = nullptr;
  void (*close)(Handle device) = nullptr;
};

}  // namespace microvmi::leechcore
