// SPDX-License-Identifier: Apache-2.0
// kdump-compressed dumps that are wrong, cut off, or made to do harm.
#include <unistd.h>

#include <cstring>

#include "codec/codec.hpp"
#include "support/kdump_image.hpp"
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::FlatRecord;
using test::KdumpImage;
using test::pattern;
using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

using test::kPage;

class BrokenKdumpTest : public test::ImageTest {
 protected:
  static KdumpImage one_page() {
    KdumpImage image;
    image.pages = {{.number = 1, .stored = pattern(kPage)}};
    return image;
  }
  InitError refusal(const KdumpImage& image) {
    test::write_file(file_, image.bytes());
    return ImageTest::refusal();
  }
  InitError refusal(const std::vector<FlatRecord>& records) {
    test::write_file(file_, test::flattened(records));
    return ImageTest::refusal();
  }
  // What reading the page gives, of an image that opens.
  Errc read_status(const KdumpImage& image, std::uint64_t number = 1) {
    test::write_file(file_, image.bytes());
    const auto vm = open();
    EXPECT_TRUE(vm) << vm.error().message;
    Bytes into(kPage);
    return vm ? read_one(*vm, number * kPage, into).status : Errc::none;
  }
};

TEST_F(BrokenKdumpTest, HeadersThatMakeNoSenseAreRefused) {
  KdumpImage image = one_page();
  image.version = 7;
  EXPECT_EQ(refusal(image).code, Errc::not_supported);
  image = one_page();
  image.version = -1;
  EXPECT_EQ(refusal(image).code, Errc::not_supported);
  for (const std::int32_t size : {0, -4096, 512, 4095, 1 << 20}) {
    image = one_page();
    image.block_size = size;
    EXPECT_EQ(refusal(image).code, Errc::protocol) << size;
  }
  for (const std::uint32_t blocks : {0U, 1U, 3U}) {
    image = one_page();
    image.bitmap_blocks = blocks;
    EXPECT_EQ(refusal(image).code, Errc::protocol) << blocks;
  }
  image = one_page();
  image.split = 1;
  image.first = 9;
  image.last = 3;
  EXPECT_EQ(refusal(image).code, Errc::protocol);
}

TEST_F(BrokenKdumpTest, ABitmapThatIsNotThereIsRefused) {
  // The header says 4 TiB of bitmap, the file ends long before.
  const Bytes lying = [] {
    KdumpImage small = one_page();
    small.bitmap_blocks = 0x7ffffffe;
    Bytes out = small.bytes();
    const std::uint64_t many = 1 << 30;
    std::memcpy(out.data() + kPage + 0x60, &many, sizeof(many));
    return out;
  }();
  test::write_file(file_, lying);
  EXPECT_EQ(ImageTest::refusal().code, Errc::io);
}

TEST_F(BrokenKdumpTest, ANumberOfPagesThatNoMachineHasIsRefused) {
  Bytes bytes = [] {
    KdumpImage image = one_page();
    image.bitmap_blocks = 0xfffffffe;
    return image.bytes();
  }();
  const std::uint64_t many = ~std::uint64_t{0};
  std::memcpy(bytes.data() + kPage + 0x60, &many, sizeof(many));
  test::write_file(file_, bytes);
  EXPECT_EQ(ImageTest::refusal().code, Errc::not_supported);
}

TEST_F(BrokenKdumpTest, ADumpWithoutPagesIsRefused) {
  KdumpImage image;
  EXPECT_THAT(refusal(image).message, HasSubstr("has no page"));
}

TEST_F(BrokenKdumpTest, DescriptorsThatLieAreErrorsOfTheirPage) {
  const auto with = [](const auto& change) {
    KdumpImage image = one_page();
    change(image.pages[0]);
    return image;
  };
  EXPECT_EQ(read_status(with([](auto& page) { page.offset = 0; })), Errc::io) << "not written";
  EXPECT_EQ(read_status(with([](auto& page) { page.offset = 1 << 30; })), Errc::io);
  EXPECT_EQ(read_status(with([](auto& page) { page.offset = ~std::uint64_t{0} - 5; })), Errc::io);
  EXPECT_EQ(read_status(with([](auto& page) { page.size = 4095; })), Errc::protocol);
  EXPECT_EQ(read_status(with([](auto& page) { page.flags = 3; })), Errc::protocol);
  for (const std::uint32_t flags : {1, 2, 4, 0x20}) {
    EXPECT_EQ(read_status(with([flags](auto& page) { page.flags = flags; })), Errc::protocol);
    EXPECT_EQ(read_status(with([flags](auto& page) {
                page.flags = flags;
                page.size = 0xffffffff;
              })),
              Errc::protocol);
    EXPECT_EQ(read_status(with([flags](auto& page) {
                page.flags = flags;
                page.size = 0;
              })),
              Errc::protocol);
  }
}

// A page that would give far more than a page, and one that gives less.
TEST_F(BrokenKdumpTest, BombsGiveAnErrorAndNoMemory) {
  for (const std::size_t size : {std::size_t{1} << 20, std::size_t{4095}})
    for (const auto& [codec, flags] : {std::pair{&codec::kZlib, 1U}, {&codec::kZstd, 0x20U}}) {
      Bytes packed(kPage);
      packed.resize(codec->compress(Bytes(size), packed));
      KdumpImage image;
      image.pages = {{.number = 1, .stored = packed, .flags = flags}};
      EXPECT_EQ(read_status(image), Errc::protocol) << codec->name << size;
    }
}

TEST_F(BrokenKdumpTest, MorePagesThanTheFileHasDescriptorsOf) {
  KdumpImage image = one_page();
  image.max_mapnr = 4096;
  for (std::uint64_t number = 100; number < 2000; ++number) image.beyond.push_back(number);
  EXPECT_EQ(read_status(image, 1), Errc::none);
  EXPECT_NE(read_status(image, 1999), Errc::none);
}

TEST_F(BrokenKdumpTest, CutOffAnywhereItIsRefusedOrThePageIs) {
  const Bytes bytes = one_page().bytes();
  for (const std::size_t size :
       {100UL, 0x1cfUL, 0x1000UL, 0x1050UL, 0x2000UL, 0x3000UL, 0x3004UL}) {
    test::write_file(file_, test::slice(bytes, 0, size));
    EXPECT_EQ(ImageTest::refusal().code, Errc::io) << size;
  }
  for (const std::size_t size : {bytes.size() - kPage - 3, bytes.size() - 1}) {
    test::write_file(file_, test::slice(bytes, 0, size));
    const auto vm = open();
    ASSERT_TRUE(vm) << vm.error().message;
    Bytes into(kPage);
    EXPECT_EQ(read_one(*vm, kPage, into).status, Errc::io) << size;
  }
}

TEST_F(BrokenKdumpTest, AFileThatShrinksWhileItIsOpen) {
  const Bytes bytes = one_page().bytes();
  test::write_file(file_, bytes);
  const auto vm = open();
  ASSERT_TRUE(vm);
  ASSERT_EQ(::truncate(file_.c_str(), 4096), 0);
  Bytes into(kPage);
  EXPECT_EQ(read_one(*vm, kPage, into).status, Errc::io);
  EXPECT_EQ(read_one(*vm, kPage + 5, std::span(into).first(7)).status, Errc::io);
}

TEST_F(BrokenKdumpTest, FlattenedRecordsThatLie) {
  const Bytes plain = one_page().bytes();
  const auto whole = test::records_of(plain, 5000);
  const auto with = [&whole](FlatRecord record) {
    auto out = whole;
    out.insert(out.begin() + 1, std::move(record));
    return out;
  };
  EXPECT_EQ(refusal(with({~std::uint64_t{0} - 100, Bytes(8)})).code, Errc::protocol);
  EXPECT_EQ(refusal(with({std::uint64_t{1} << 63, Bytes(8)})).code, Errc::protocol);
  EXPECT_EQ(refusal(with({0, Bytes(8), ~std::uint64_t{0}})).code, Errc::protocol);
  EXPECT_EQ(refusal(with({0x7ffffffffffffff0, Bytes(32)})).code, Errc::protocol);
  // A record that swallows the rest: what it hides is missing.
  EXPECT_EQ(refusal(with({0x100000, Bytes(8), std::uint64_t{1} << 40})).code, Errc::io);
  EXPECT_EQ(refusal(std::vector<FlatRecord>{}).code, Errc::protocol);
  EXPECT_EQ(refusal(std::vector<FlatRecord>(10000)).code, Errc::protocol) << "empty records";
}

TEST_F(BrokenKdumpTest, AFlattenedFileWithoutItsEndOpensAndSaysSo) {
  auto records = test::records_of(one_page().bytes(), 4096);
  test::write_file(file_, test::flattened(records, false));
  const auto whole = open();
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_TRUE(value<bool>(*whole, "cut_off"));
  EXPECT_EQ(read(*whole, kPage, kPage), pattern(kPage));
  records.pop_back();
  test::write_file(file_, test::flattened(records, false));
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  Bytes into(kPage);
  EXPECT_EQ(read_one(*vm, kPage, into).status, Errc::io);
}

TEST_F(BrokenKdumpTest, OfAnotherFlattenedKindItSaysSo) {
  Bytes bytes = test::flattened(test::records_of(one_page().bytes(), 4096));
  bytes[23] = std::byte{2};  // the type
  test::write_file(file_, bytes);
  EXPECT_EQ(ImageTest::refusal().code, Errc::not_supported);
}

TEST_F(BrokenKdumpTest, AFlattenedElfSaysWhatPutsItTogether) {
  Bytes elf(2 * kPage);
  std::memcpy(elf.data(),
              "\x7f"
              "ELF",
              4);
  test::write_file(file_, test::flattened(test::records_of(elf, 4096)));
  const InitError error = ImageTest::refusal();
  EXPECT_EQ(error.code, Errc::not_supported);
  EXPECT_THAT(error.message + error.hint,
              testing::HasSubstr("ELF core that makedumpfile flattened"));
}

TEST_F(BrokenKdumpTest, AnOverlongTextIsPassedOver) {
  Bytes bytes = one_page().bytes();
  const std::uint64_t size = std::uint64_t{1} << 40;
  std::memcpy(bytes.data() + kPage + 0x20, &size, sizeof(size));
  std::memcpy(bytes.data() + kPage + 0x28, &size, sizeof(size));
  test::write_file(file_, bytes);
  const auto vm = open();
  ASSERT_TRUE(vm);
  EXPECT_FALSE(vm->info().vmcoreinfo);
}

}  // namespace
}  // namespace microvmi
