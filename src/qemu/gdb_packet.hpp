// SPDX-License-Identifier: Apache-2.0
// Packets of the gdb remote protocol as bytes: "$", data, "#", checksum. The GDB manual's appendix
// "Remote Protocol", section Overview, is what it follows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::qemu {

// QEMU's own are at most 4 KiB (MAX_PACKET_LENGTH in its gdbstub.c), twice that where all is
// escaped.
inline constexpr std::size_t kMaxGdbPacket = 64UL * 1024;

// The data with its frame, special bytes escaped.
[[nodiscard]] std::string gdb_frame(std::string_view data);

// Bytes in, packets out: escapes undone, runs written out, checksums compared.
class GdbFramer {
 public:
  // The data of the packets that `bytes` completed. After an error there is nothing more to be had.
  [[nodiscard]] Expected<std::vector<std::string>> feed(std::string_view bytes);

 private:
  enum class State : std::uint8_t { between, data, escape, run, first_digit, second_digit };

  [[nodiscard]] Expected<void> take_plain(std::string_view some);
  [[nodiscard]] Expected<bool> take(char c);
  [[nodiscard]] Expected<bool> take_between(char c);
  [[nodiscard]] Expected<bool> take_data(char c);
  [[nodiscard]] Expected<bool> take_run(char c);
  [[nodiscard]] Expected<bool> take_digit(char c);

  State state_ = State::between;
  std::string data_;
  std::uint8_t sum_ = 0;    // of what came
  std::uint8_t given_ = 0;  // by the sender
};

// "0a1b" as bytes; nullopt where it is none.
[[nodiscard]] std::optional<std::string> from_hex(std::string_view text);
[[nodiscard]] std::string to_hex(std::string_view bytes);

// A whole text that is one hexadecimal number.
[[nodiscard]] std::optional<std::uint64_t> hex_number(std::string_view text);

// Why a vCPU stands still: "T05thread:02;watch:ffff800000001000;".
struct GdbStop {
  enum class Watch : std::uint8_t { none, write, read, access };

  std::uint8_t signal = 0;
  std::optional<std::uint32_t> thread = std::nullopt;
  Watch watch = Watch::none;
  std::uint64_t address = 0;  // of a watch
};

inline constexpr std::uint8_t kSigInt = 2;   // GDB's include/gdb/signals.def: GDB_SIGNAL_INT
inline constexpr std::uint8_t kSigTrap = 5;  // GDB_SIGNAL_TRAP

// Why QEMU itself stopped the guest, where it did (gdb_vm_state_change() of its gdbstub); else
// null.
[[nodiscard]] const char* trouble_of(const GdbStop& stop);

// Whether it can be one at all, and the one it is.
[[nodiscard]] bool is_gdb_stop(std::string_view data);
[[nodiscard]] Expected<GdbStop> parse_gdb_stop(std::string_view data);

}  // namespace microvmi::qemu
