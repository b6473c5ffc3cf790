// SPDX-License-Identifier: Apache-2.0
// Device: one open device of LeechCore.
#pragma once

#include <span>
#include <vector>

#include "leechcore.hpp"

namespace microvmi::leechcore {

using pcileech_connector::Opened;
using pcileech_connector::Piece;
using pcileech_connector::Range;

class Device {
 public:
  explicit Device(const Functions& functions) : call_(functions) {}

  // Fails with what is to be told; `opened` is filled as far as it got. With ranges, these are the
  // memory map from now on.
  [[nodiscard]] Failure open(const pcileech_connector::Device& wanted,
                             std::span<const Range> ranges, Opened& opened);

  // LeechCore's memory map, as it stands; empty where it tells none.
  [[nodiscard]] std::vector<Range> map();

  // The bytes of piece i are at `slots` + i * kSlotSize + offset in its page.
  void read(std::span<Piece> pieces, std::byte* slots) { move(call_.read, pieces, slots); }
  void write(std::span<Piece> pieces, std::byte* slots) { move(call_.write, pieces, slots); }
  void close();

 private:
  using Move = void (*)(Handle device, std::uint32_t count, Scatter** pieces);

  [[nodiscard]] std::uint64_t option(std::uint64_t key) const;
  [[nodiscard]] Failure take_map(std::span<const Range> ranges);
  [[nodiscard]] Failure set_auto_clear();
  void move(Move way, std::span<Piece> pieces, std::byte* slots);

  Functions call_;
  Handle handle_ = nullptr;
  std::vector<Scatter> scatter_;
  std::vector<Scatter*> pointers_;
};

}  // namespace microvmi::leechcore
