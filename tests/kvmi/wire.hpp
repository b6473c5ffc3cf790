// SPDX-License-Identifier: Apache-2.0
// A conversation with the simulated kernel in bytes written by hand.
#pragma once

#include <string>

#include "support/kvmi_peer/kernel.hpp"

namespace microvmi::test::kvmi {

inline constexpr const char* kNoError = "0000000000000000";

struct Wire {
  explicit Wire(KernelSetup how = {}) : setup(std::move(how)) {}

  // What comes back for these bytes, in hexadecimal.
  std::string say(const std::string& hex) {
    kernel.receive(from_hex(hex));
    return to_hex(kernel.take_output());
  }

  KernelSetup setup;
  Guest guest = [] {
    Guest made(2);
    made.add_memory(0, 0xa0000);
    made.add_memory(0x100000, 0x100000);
    return made;
  }();
  Record record;
  Kernel kernel{guest, setup, record};
};

// Hexadecimal without its spaces, as to_hex() writes it.
inline std::string hex(const std::string& text) { return to_hex(from_hex(text)); }
inline std::string repeat(const std::string& text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i != times; ++i) out += text;
  return out;
}

}  // namespace microvmi::test::kvmi
