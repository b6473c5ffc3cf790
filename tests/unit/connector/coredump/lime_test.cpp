// SPDX-License-Identifier: Apache-2.0
// LiME images, written here from the description of their format.
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

class LimeSimulatedTest : public test::ImageTest {
 protected:
  LimeSimulatedTest() {
    record(0x1000, low_);
    record(0x100000000, high_);
  }
  void record(std::uint64_t start, const std::vector<std::byte>& bytes) {
    head(start, start + bytes.size() - 1);
    image_.add(bytes);
  }
  void head(std::uint64_t first, std::uint64_t last, unsigned version = 1) {
    image_.text("EMiL").le(version, 4).le(first, 8).le(last, 8).le(0, 8);
  }
  std::expected<Vm, InitError> open_it(std::size_t size = ~std::size_t{0}) {
    test::write_file(file_, slice(image_.bytes(), 0, std::min(size, image_.size())));
    return open();
  }
  InitError refusal_of_it() {
    test::write_file(file_, image_.bytes());
    return refusal();
  }

  std::vector<std::byte> low_ = pattern(3 * kPage - 0x400, 1);  // RAM below 640 KiB ends so
  std::vector<std::byte> high_ = pattern(2 * kPage, 2);
  ImageBytes image_;
};

TEST_F(LimeSimulatedTest, EveryByteOfItsRecords) {
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x1000}, 2 * kPage},
                                                       MemoryRegion{Gpa{0x100000000}, 2 * kPage}));
  EXPECT_EQ(read(*vm, 0x1000, low_.size()), low_);
  EXPECT_EQ(read(*vm, 0x100000000, high_.size()), high_);
  EXPECT_EQ(value<std::string>(*vm, "format"), "lime");
  EXPECT_EQ(value<std::uint64_t>(*vm, "records"), 2U);
  EXPECT_FALSE(value<bool>(*vm, "truncated"));
  EXPECT_EQ(value<std::uint64_t>(*vm, "bytes_in_parts_of_pages"), 0xC00U);
  std::byte into{};
  EXPECT_EQ(read_one(*vm, 0, std::span(&into, 1)).status, Errc::hole);
  EXPECT_EQ(read_one(*vm, 0x1000 + low_.size(), std::span(&into, 1)).status, Errc::hole);
}

TEST_F(LimeSimulatedTest, RecordsMayComeInAnyOrderOverlapAndBeEmpty) {
  head(0x5000, 0x4FFF);
  record(0x800, pattern(2 * kPage, 3));
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 0x1000, low_.size()), low_) << "the first has it";
  EXPECT_EQ(read(*vm, 0x800, 0x800), slice(pattern(2 * kPage, 3), 0, 0x800));
  EXPECT_EQ(value<std::uint64_t>(*vm, "records"), 4U);
}

TEST_F(LimeSimulatedTest, CutOffAnywhereItSaysWhatIsMissing) {
  for (std::size_t size = 4; size < image_.size(); size += 33) {
    const auto vm = open_it(size);
    if (size < 32 + kPage) {
      EXPECT_FALSE(vm) << size;
      continue;
    }
    ASSERT_TRUE(vm) << size;
    EXPECT_TRUE(value<bool>(*vm, "truncated") || fact(*vm, "bytes_past_last_record") ||
                size == 32 + low_.size())
        << size;
  }
  ASSERT_TRUE(open_it(32 + low_.size() + 32 + kPage + 9));
  const auto vm = open();
  std::vector<std::byte> into(2 * kPage);
  const auto request = read_one(*vm, 0x100000000, into);
  EXPECT_EQ(request.status, Errc::io);
  EXPECT_EQ(request.done, kPage + 9);
}

TEST_F(LimeSimulatedTest, ZerosBehindTheLastRecordAreTold) {
  image_.zeros(512);
  const auto vm = open_it();
  ASSERT_TRUE(vm);
  EXPECT_EQ(value<std::uint64_t>(*vm, "bytes_past_last_record"), 512U);
}

TEST_F(LimeSimulatedTest, WrongHeadersAreRefused) {
  const ImageBytes good = image_;
  image_.text("nothing that could be a header of a record");
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has no header of a LiME record at 0x4c40"));
  image_ = good;
  head(0x5000, 0x6000, 2);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has LiME records of version 2"));
  image_ = good;
  head(0x5000, 0x4000);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has a record from 0x5000 to 0x4000"));
  image_ = good;
  head(0, ~0ULL);
  EXPECT_EQ(refusal_of_it().code, Errc::protocol);
  image_ = good;
  head(0x5000, 1ULL << 62);
  const auto vm = open_it();
  ASSERT_TRUE(vm) << "as one that is cut off";
  EXPECT_TRUE(value<bool>(*vm, "truncated"));
}

TEST_F(LimeSimulatedTest, ForcedOnAnotherFileItIsRefused) {
  test::write_file(file_, pattern(3 * kPage));
  EXPECT_EQ(refusal(DumpFormat::lime).code, Errc::protocol);
}

}  // namespace
}  // namespace microvmi
