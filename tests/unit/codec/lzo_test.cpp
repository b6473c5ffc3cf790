// SPDX-License-Identifier: Apache-2.0
// Our LZO1X decoder against liblzo2: what that packs, and the same cut off and changed.
#include "codec/lzo.hpp"

#include <gtest/gtest.h>
#include <lzo/lzo1x.h>

#include <random>
#include <vector>

namespace microvmi {
namespace {

using Bytes = std::vector<std::byte>;

// Runs, repeats from near and far, and noise, as memory has them.
Bytes mixed(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Bytes out;
  while (out.size() < size) {
    const unsigned kind = random() % 4;
    const std::size_t length = 1 + random() % (kind == 1 ? 600 : 40);
    const auto same = static_cast<std::byte>(random() & 0xff);
    const std::size_t back = out.empty() ? 0 : 1 + random() % out.size();
    for (std::size_t i = 0; i < length; ++i)
      out.push_back(kind == 0   ? static_cast<std::byte>(random() & 0xff)
                    : kind == 1 ? same
                    : back == 0 ? std::byte{}
                                : out[out.size() - back]);
  }
  out.resize(size);
  return out;
}

unsigned char* raw(Bytes& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

Bytes packed(Bytes& plain, bool best) {
  Bytes out(plain.size() + plain.size() / 8 + 128);
  Bytes work(LZO1X_999_MEM_COMPRESS);
  lzo_uint size = out.size();
  const auto compress = best ? lzo1x_999_compress : lzo1x_1_compress;
  EXPECT_EQ(compress(raw(plain), plain.size(), raw(out), &size, work.data()), LZO_E_OK);
  out.resize(size);
  return out;
}

// What liblzo2 says of the same input.
std::optional<Bytes> truth(Bytes in, std::size_t room) {
  Bytes out(room);
  lzo_uint size = room;
  if (lzo1x_decompress_safe(raw(in), in.size(), raw(out), &size, nullptr) != LZO_E_OK)
    return std::nullopt;
  out.resize(size);
  return out;
}

std::optional<Bytes> ours(const Bytes& in, std::size_t room) {
  // Of exactly this size, so that a sanitizer sees what goes beyond.
  Bytes out(room);
  const auto size = codec::lzo1x_decompress(Bytes(in), out);
  if (!size) return std::nullopt;
  out.resize(*size);
  return out;
}

TEST(Lzo, UnpacksWhatLiblzo2Packs) {
  for (const std::size_t size : {1, 2, 3, 4, 17, 18, 19, 255, 300, 4095, 4096, 65536, 200000})
    for (unsigned seed = 0; seed < 8; ++seed)
      for (const bool best : {false, true}) {
        Bytes plain = mixed(size, seed);
        EXPECT_TRUE(ours(packed(plain, best), size) == plain) << size << ' ' << seed << best;
      }
}

TEST(Lzo, LongRunsAndFarMatches) {
  Bytes plain(100000);
  EXPECT_TRUE(ours(packed(plain, false), plain.size()) == plain);
  const Bytes noise = mixed(47000, 3);
  plain = noise;
  plain.insert(plain.end(), noise.begin(), noise.end());
  EXPECT_TRUE(ours(packed(plain, true), plain.size()) == plain);
}

TEST(Lzo, NoRoomAndNoWholeStreamAreRefused) {
  Bytes plain = mixed(4096, 1);
  const Bytes in = packed(plain, false);
  EXPECT_FALSE(ours(in, 4095));
  for (std::size_t size = 0; size < in.size(); ++size)
    EXPECT_FALSE(ours(Bytes(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(size)), 4096))
        << size;
  Bytes longer = in;
  longer.push_back({});
  EXPECT_FALSE(ours(longer, 4096)) << "goes on after its end";
}

TEST(Lzo, SaysOfAnyInputWhatLiblzo2Says) {
  std::mt19937 random(7);
  std::size_t accepted = 0;
  for (unsigned round = 0; round < 4000; ++round) {
    Bytes plain = mixed(1 + random() % 700, round);
    Bytes in = packed(plain, round % 2 == 0);
    for (unsigned changes = random() % 4; changes != 0; --changes)
      in[random() % in.size()] = static_cast<std::byte>(random() & 0xff);
    const std::size_t room = 600 + random() % 200;
    const auto expected = truth(in, room);
    ASSERT_EQ(ours(in, room), expected) << round;
    accepted += expected ? 1 : 0;
  }
  EXPECT_GT(accepted, 500U);
}

TEST(Lzo, NoiseIsSafe) {
  std::mt19937 random(9);
  for (unsigned round = 0; round < 20000; ++round) {
    Bytes in(1 + random() % 60);
    for (std::byte& one : in) one = static_cast<std::byte>(random() & 0xff);
    ASSERT_EQ(ours(in, 300), truth(in, 300)) << round;
  }
}

}  // namespace
}  // namespace microvmi
