// SPDX-License-Identifier: Apache-2.0
// Images that become shorter while they are open: an error, never a crash, never zeros.
#include <unistd.h>

#include "microvmi/dump.hpp"
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::pattern;
using test::slice;
using testing::HasSubstr;

using test::kPage;

class ShrinkingImageTest : public test::ImageTest,
                           public testing::WithParamInterface<std::uint64_t> {
 protected:
  ShrinkingImageTest() { test::write_file(file_, bytes_); }
  std::vector<std::byte> bytes_ = pattern(600 * kPage + 100);
};

// On a page, within a page, within the last page, nothing left.
INSTANTIATE_TEST_SUITE_P(Sizes, ShrinkingImageTest,
                         testing::Values(300 * kPage, 300 * kPage + 7, 600 * kPage + 50, 0));

TEST_P(ShrinkingImageTest, AReadEndsWhereTheFileNowEnds) {
  const auto vm = open(DumpFormat::raw);
  ASSERT_TRUE(vm);
  ASSERT_EQ(::truncate(file_.c_str(), static_cast<off_t>(GetParam())), 0);
  std::vector<std::byte> into(bytes_.size());
  const ReadRequest request = read_one(*vm, 0, into);
  EXPECT_EQ(request.status, Errc::io);
  EXPECT_EQ(request.done, GetParam());
  EXPECT_EQ(request.failed_at, Gpa{GetParam()});
  EXPECT_EQ(slice(into, 0, request.done), slice(bytes_, 0, request.done));
}

TEST_P(ShrinkingImageTest, SmallReadsAroundTheNewEnd) {
  const auto vm = open(DumpFormat::raw);
  ASSERT_TRUE(vm);
  const std::uint64_t size = GetParam();
  ASSERT_EQ(::truncate(file_.c_str(), static_cast<off_t>(size)), 0);
  std::byte into{};
  for (const std::uint64_t at : {std::uint64_t{0}, size - 1, size, size + 1, size + 40}) {
    if (at >= bytes_.size()) continue;
    const ReadRequest request = read_one(*vm, at, std::span(&into, 1));
    EXPECT_EQ(request.status, at < size ? Errc::none : Errc::io) << at;
  }
}

TEST_P(ShrinkingImageTest, ADumpOfItSaysWhereItStopped) {
  auto vm = open(DumpFormat::raw);
  ASSERT_TRUE(vm);
  const std::uint64_t size = GetParam();
  ASSERT_EQ(::truncate(file_.c_str(), static_cast<off_t>(size)), 0);
  const auto report = dump(*vm, folder_.path() / "copy");
  if (size >= 600 * kPage) {
    EXPECT_TRUE(report) << "what was lost was not in the map";
    return;
  }
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::io);
  EXPECT_EQ(report.error().reached, Gpa{size / kPage * kPage});
  EXPECT_THAT(report.error().message, HasSubstr("cannot read guest memory at"));
}

TEST_F(ShrinkingImageTest, ZerosThatAreInTheFileStay) {
  test::write_file(file_, std::vector<std::byte>(4 * kPage));
  const auto vm = open(DumpFormat::raw);
  ASSERT_TRUE(vm);
  EXPECT_EQ(read(*vm, 0, 4 * kPage), std::vector<std::byte>(4 * kPage));
}

}  // namespace
}  // namespace microvmi
