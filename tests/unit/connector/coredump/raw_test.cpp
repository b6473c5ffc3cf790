// SPDX-License-Identifier: Apache-2.0
// Raw images: as they are, and with a map.
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::pattern;
using test::slice;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kPage;

class RawImageTest : public test::ImageTest {
 protected:
  RawImageTest() { test::write_file(file_, bytes_); }
  std::vector<std::byte> bytes_ = pattern(8 * kPage + 100);
};

TEST_F(RawImageTest, TheAddressIsTheOffset) {
  const auto vm = open(DumpFormat::raw);
  ASSERT_TRUE(vm);
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0}, 8 * kPage}));
  EXPECT_EQ(read(*vm, 0, bytes_.size()), bytes_) << "the incomplete page at the end too";
  EXPECT_EQ(value<std::string>(*vm, "format"), "raw");
  EXPECT_EQ(value<std::uint64_t>(*vm, "bytes_past_last_page"), 100U);
  std::vector<std::byte> into(2);
  EXPECT_EQ(read_one(*vm, 8 * kPage + 99, into).done, 1U);
}

TEST_F(RawImageTest, AMapPutsThePiecesWhereTheyBelong) {
  const std::vector<DumpRange> map{
      {Gpa{0x100000000}, 2 * kPage, 6 * kPage}, {Gpa{0}, 4 * kPage, 0}, {Gpa{0x10000}, kPage, 5}};
  const auto vm = open(DumpFormat::raw, map);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions,
              ElementsAre(MemoryRegion{Gpa{0}, 4 * kPage}, MemoryRegion{Gpa{0x10000}, kPage},
                          MemoryRegion{Gpa{0x100000000}, 2 * kPage}));
  EXPECT_EQ(read(*vm, 0x100000000, 2 * kPage), slice(bytes_, 6 * kPage, 2 * kPage));
  EXPECT_EQ(read(*vm, 0x10000, kPage), slice(bytes_, 5, kPage));
  EXPECT_TRUE(read(*vm, 4 * kPage, 1).empty());
}

TEST_F(RawImageTest, AMapThatCannotBeIsRefused) {
  const auto message = [this](std::vector<DumpRange> map) {
    return refusal(DumpFormat::raw, std::move(map)).message;
  };
  EXPECT_THAT(message({{Gpa{0}, 9 * kPage, 0}}), HasSubstr("has 0x8064 bytes"));
  EXPECT_THAT(message({{Gpa{0}, kPage, 1ULL << 62}}), HasSubstr("check memflow.coredump.map"));
  EXPECT_THAT(message({{Gpa{0}, 2 * kPage, 0}, {Gpa{kPage}, kPage, 0}}), HasSubstr("overlap"));
  EXPECT_THAT(message({{Gpa{1}, kPage, 0}}), HasSubstr("whole pages"));
  EXPECT_THAT(message({{Gpa{0}, 100, 0}}), HasSubstr("whole pages"));
  EXPECT_THAT(message({{Gpa{0}, 0, 0}}), HasSubstr("empty range"));
  EXPECT_THAT(message({{Gpa{~0ULL - kPage + 1}, 2 * kPage, 0}}),
              HasSubstr("past the last address"));
}

TEST_F(RawImageTest, AMapIsWrittenAsOneTextOrSeveral) {
  const std::string path = "memflow.coredump.filepath";
  const std::string key = "memflow.coredump.map";
  const auto read = DriverParams()
                        .insert(path, "/a")
                        .insert("memflow.coredump.format", "raw")
                        .insert(key, "0:3G:0,4G:1G:3G")
                        .insert(key, "8G:4K:0x1000")
                        .read();
  ASSERT_TRUE(read);
  const auto& params = std::get<CoredumpParams>(*read->memflow->args);
  EXPECT_THAT(params.map, ElementsAre(DumpRange{Gpa{0}, 3ULL << 30, 0},
                                      DumpRange{Gpa{4ULL << 30}, 1ULL << 30, 3ULL << 30},
                                      DumpRange{Gpa{8ULL << 30}, kPage, kPage}));
  for (const char* wrong : {"", "0:3G", "0:3G:0,", "0:3G:0,,4G:1G:3G", "a:b:c"}) {
    const auto refused = DriverParams()
                             .insert(path, "/a")
                             .insert("memflow.coredump.format", "raw")
                             .insert(key, wrong)
                             .read();
    EXPECT_FALSE(refused) << wrong;
  }
}

}  // namespace
}  // namespace microvmi
