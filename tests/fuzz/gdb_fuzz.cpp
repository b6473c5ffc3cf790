// SPDX-License-Identifier: Apache-2.0
// What a gdb stub may send: packets in pieces, stop replies, a target description, registers.
#include <cstdlib>

#include "qemu/gdb_packet.hpp"
#include "qemu/gdb_registers.hpp"

namespace {

using namespace microvmi;
using namespace microvmi::qemu;

// Pieces give what the whole gives.
void frames(std::string_view text) {
  GdbFramer whole;
  GdbFramer pieces;
  const auto all = whole.feed(text);
  std::vector<std::string> some;
  bool good = true;
  for (const char c : text) {
    const auto one = pieces.feed(std::string_view(&c, 1));
    good = good && one.has_value();
    if (!good) break;
    some.insert(some.end(), one->begin(), one->end());
  }
  if (all.has_value() != good || (all && *all != some)) std::abort();
  if (all)
    for (const std::string& data : some) {
      GdbFramer again;
      const auto back = again.feed(gdb_frame(data));
      if (data.size() > kMaxGdbPacket || !back || back->size() != 1 || back->front() != data)
        std::abort();
      static_cast<void>(parse_gdb_stop(data).has_value());
    }
}

void description(std::string_view text) {
  const std::size_t half = text.find('\0');
  const auto layout = read_gdb_layout([&](const std::string& name) -> Expected<std::string> {
    if (name == "target.xml" || half == std::string_view::npos)
      return std::string(text.substr(0, half));
    return std::string(text.substr(half + 1));
  });
  if (!layout) return;
  std::size_t size = 0;
  for (const GdbRegister& one : layout->registers) {
    if (one.offset != size || one.size == 0) std::abort();
    size += one.size;
  }
  if (size != layout->size) std::abort();
  static_cast<void>(parse_gdb_registers(*layout, std::string(2 * size, '7')).has_value());
  static_cast<void>(parse_gdb_registers(*layout, text).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  frames(text);
  static_cast<void>(parse_gdb_stop(text).has_value());
  description(text);
  return 0;
}
