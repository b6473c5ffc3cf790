// SPDX-License-Identifier: Apache-2.0
// What every codec of the build promises: exactly one page, or no.
#include "codec/codec.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "support/elf_image.hpp"

namespace microvmi {
namespace {

TEST(Codec, AllAreInADefaultBuild) {
  for (const codec::Codec* one : {&codec::kZlib, &codec::kLzo, &codec::kSnappy, &codec::kZstd})
    EXPECT_NE(one->decompress, nullptr) << one->name << " needs " << one->library;
}

TEST(Codec, APageIsTheSameAgainAndOfOneSizeAlone) {
  std::vector<std::byte> page(4096);
  const auto some = test::pattern(500);
  std::copy(some.begin(), some.end(), page.begin());
  for (const codec::Codec* one : {&codec::kZlib, &codec::kZstd}) {
    ASSERT_NE(one->compress, nullptr) << one->name;
    std::vector<std::byte> packed(4096);
    const std::size_t size = one->compress(page, packed);
    ASSERT_NE(size, 0U) << one->name;
    packed.resize(size);
    std::vector<std::byte> back(4096);
    EXPECT_TRUE(one->decompress(packed, back)) << one->name;
    EXPECT_EQ(back, page) << one->name;
    std::vector<std::byte> less(4095);
    std::vector<std::byte> more(4097);
    EXPECT_FALSE(one->decompress(packed, less)) << one->name;
    EXPECT_FALSE(one->decompress(packed, more)) << one->name << ": a page too short";
    EXPECT_EQ(one->compress(page, std::span(back).first(10)), 0U) << one->name;
  }
}

TEST(Codec, NoiseIsRefused) {
  std::vector<std::byte> page(4096);
  const auto noise = test::pattern(300, 5);
  for (const codec::Codec* one : {&codec::kZlib, &codec::kLzo, &codec::kSnappy, &codec::kZstd}) {
    EXPECT_FALSE(one->decompress(noise, page)) << one->name;
    EXPECT_FALSE(one->decompress({}, page)) << one->name;
  }
}

}  // namespace
}  // namespace microvmi
