// SPDX-License-Identifier: Apache-2.0
// Hostile maps: a block is only ever put into a writable mapping without code that is as big.
#include <algorithm>
#include <cstdlib>

#include "qemu/monitor_layout.hpp"
#include "qemu/placement.hpp"

namespace qemu = microvmi::qemu;
namespace host = microvmi::host;
using Kind = qemu::RamBackend::Kind;

namespace {

void check(const qemu::RamBlock& block, std::uint64_t start, std::span<const host::Mapping> maps) {
  const auto first = std::ranges::find(maps, start, &host::Mapping::start);
  if (first == maps.end()) std::abort();
  std::uint64_t end = start;
  for (auto one = first; one != maps.end() && one->start == end && end - start < block.size;
       ++one) {
    if (!one->write || one->execute || one->shared != block.shared) std::abort();
    end = one->end;
  }
  if (end - start < block.size) std::abort();
}

}  // namespace

// The first three bytes choose the blocks, the rest is the text of a maps file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  std::vector<qemu::RamBlock> blocks;
  for (int i = 0; i < 3; ++i)
    blocks.push_back({.id = std::string(1, static_cast<char>('a' + i)),
                      .size = std::uint64_t{4096} << (data[i] % 24U),
                      .kind = static_cast<Kind>(data[i] / 64U),
                      .shared = (data[i] / 32U) % 2U != 0,
                      .path = "/dev/shm/f"});
  const auto maps = host::parse_maps({reinterpret_cast<const char*>(data) + 3, size - 3});
  const auto found = qemu::find_blocks(blocks, maps);
  if (!found) return 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) check(blocks[i], (*found)[i], maps);
  qemu::GuestLayout layout{.blocks = blocks};
  for (std::size_t i = 0; i < blocks.size(); ++i)
    layout.extents.push_back({i << 40U, blocks[i].size, i, 0});
  if (!qemu::check_mapped(qemu::place(layout, *found), maps)) std::abort();
  return 0;
}
