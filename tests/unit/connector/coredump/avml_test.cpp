// SPDX-License-Identifier: Apache-2.0
// AVML images, written here from the description of snappy's framing and block formats.
#include "codec/codec.hpp"
#include "support/image_bytes.hpp"
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::ImageBytes;
using test::pattern;
using test::slice;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kPage;

// CRC-32C bit by bit, masked as framing_format.txt has it.
std::uint32_t checksum(const std::vector<std::byte>& bytes) {
  std::uint32_t value = ~0U;
  for (const std::byte one : bytes) {
    value ^= static_cast<std::uint32_t>(one);
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1U) * 0x82F63B78U);
  }
  value = ~value;
  return (value >> 15 | value << 17) + 0xA282EAD8U;
}

class AvmlSimulatedTest : public test::ImageTest {
 protected:
  void SetUp() override {
    if (!codec::kSnappy.decompress) GTEST_SKIP() << "this build is without libsnappy";
    begin(0x1000, 19 * kPage);
    packed(std::byte{0}, 16);
    plain(first_);
    end();
    begin(0x100000000, 2 * kPage);
    plain(second_);
    end();
  }

  void begin(std::uint64_t start, std::uint64_t size, std::uint32_t version = 2) {
    image_.text("AVML").le(version, 4).le(start, 8).le(start + size - 1, 8).le(0, 8);
    start_ = image_.size();
    image_.le(0xFF, 1).le(6, 3).text("sNaPpY");
  }
  void end() { image_.le(image_.size() - start_, 8); }
  void plain(const std::vector<std::byte>& bytes) {
    image_.le(1, 1).le(bytes.size() + 4, 3).le(checksum(bytes), 4).add(bytes);
  }
  // Pages of one byte: a literal, and copies of 64 from one before.
  void packed(std::byte byte, std::uint64_t pages) {
    ImageBytes body;
    const std::uint64_t size = pages * kPage;
    body.le(checksum(std::vector<std::byte>(size, byte)), 4);
    body.le((size & 0x7F) | 0x80, 1).le(((size >> 7) & 0x7F) | 0x80, 1).le(size >> 14, 1);
    body.le(0, 1).le(static_cast<std::uint8_t>(byte), 1);
    for (std::uint64_t left = size - 1; left != 0;) {
      const std::uint64_t now = std::min<std::uint64_t>(left, 64);
      body.le((now - 1) << 2 | 2, 1).le(1, 2);
      left -= now;
    }
    image_.le(0, 1).le(body.size(), 3).add(body.bytes());
  }

  std::expected<Vm, InitError> open_it(std::size_t size = ~std::size_t{0}) {
    test::write_file(file_, slice(image_.bytes(), 0, std::min(size, image_.size())));
    return open();
  }
  InitError refusal_of_it() {
    test::write_file(file_, image_.bytes());
    return refusal();
  }

  std::vector<std::byte> first_ = pattern(3 * kPage, 1);
  std::vector<std::byte> second_ = pattern(2 * kPage, 2);
  ImageBytes image_;
  std::size_t start_ = 0;
};

TEST_F(AvmlSimulatedTest, EveryByteOfItsBlocks) {
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x1000}, 19 * kPage},
                                                       MemoryRegion{Gpa{0x100000000}, 2 * kPage}));
  std::vector<std::byte> all(16 * kPage);
  all.insert(all.end(), first_.begin(), first_.end());
  EXPECT_EQ(read(*vm, 0x1000, 19 * kPage), all);
  EXPECT_EQ(read(*vm, 0x100000001, 100), slice(second_, 1, 100));
  EXPECT_EQ(read(*vm, 0x10FFF, 2), (std::vector{std::byte{0}, first_[0]})) << "across two chunks";
  EXPECT_EQ(value<std::string>(*vm, "format"), "avml");
  EXPECT_EQ(value<std::uint64_t>(*vm, "blocks"), 2U);
  std::byte into{};
  EXPECT_EQ(read_one(*vm, 0, std::span(&into, 1)).status, Errc::hole);
}

TEST_F(AvmlSimulatedTest, AChunkWithAWrongChecksumIsAnErrorAndNotItsBytes) {
  auto bytes = image_.bytes();
  bytes[bytes.size() - 100] ^= std::byte{1};
  test::write_file(file_, bytes);
  const auto vm = open();
  ASSERT_TRUE(vm);
  std::vector<std::byte> into(kPage);
  EXPECT_EQ(read_one(*vm, 0x100000000, into).status, Errc::io);
  EXPECT_EQ(read_one(*vm, 0x1000, into).status, Errc::none);
}

TEST_F(AvmlSimulatedTest, AFileThatShrinksWhileItIsOpen) {
  const auto vm = open_it();
  ASSERT_TRUE(vm);
  std::filesystem::resize_file(file_, 200);  // within the first chunk
  std::vector<std::byte> into(kPage);
  for (const std::uint64_t at : {std::uint64_t{0x1000}, std::uint64_t{0x11000}, 0x100000000UL})
    EXPECT_EQ(read_one(*vm, at, into).status, Errc::io) << at;
}

TEST_F(AvmlSimulatedTest, OfBlocksOverEachOtherTheFirstCounts) {
  begin(0x100000000 + kPage, 2 * kPage);
  plain(pattern(2 * kPage, 3));
  end();
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 0x100000000, 2 * kPage), second_);
  EXPECT_EQ(read(*vm, 0x100000000 + 2 * kPage, kPage), slice(pattern(2 * kPage, 3), kPage, kPage));
}

TEST_F(AvmlSimulatedTest, OfAPageThatItEndsInThePartIsTold) {
  EXPECT_FALSE(fact(*open_it(), "bytes_in_parts_of_pages"));
  begin(0x200000000, 100);
  plain(pattern(100, 3));
  end();
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(value<std::uint64_t>(*vm, "bytes_in_parts_of_pages"), 100U);
  EXPECT_EQ(read(*vm, 0x200000000, 100), pattern(100, 3));
}

TEST_F(AvmlSimulatedTest, CutOffAnywhere) {
  for (std::size_t size = 4; size < image_.size() - 8; size += 211) {
    const auto vm = open_it(size);
    EXPECT_TRUE(!vm || value<bool>(*vm, "truncated") || vm->memory().map()->regions.size() == 1)
        << size;
  }
  const auto vm = open_it(image_.size() - 20);
  ASSERT_TRUE(vm);
  std::vector<std::byte> into(kPage);
  EXPECT_EQ(read_one(*vm, 0x100000000, into).status, Errc::io) << "it was RAM";
}

TEST_F(AvmlSimulatedTest, ChunksThatLieAreRefused) {
  const ImageBytes good = image_;
  begin(0x200000000, kPage);
  plain(second_);  // more than its block has
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has a chunk of 8192 bytes"));
  image_ = good;
  begin(0x200000000, 1 << 20);
  image_.le(0, 1).le(9, 3).le(0, 4).le(0xFFFFFFFFFF, 5);  // a bomb of 4 GiB
  EXPECT_EQ(refusal_of_it().code, Errc::protocol);
  image_ = good;
  begin(0x200000000, kPage);
  image_.le(2, 1).le(5, 3).zeros(5);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has a chunk of type 0x2"));
  image_ = good;
  begin(0x200000000, kPage, 3);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has AVML blocks of version 3"));
}

}  // namespace
}  // namespace microvmi
