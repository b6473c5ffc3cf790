// SPDX-License-Identifier: Apache-2.0
// kdump-compressed dumps made byte by byte: plain, flattened, split, of 32-bit machines.
#include <thread>

#include "codec/codec.hpp"
#include "support/kdump_image.hpp"
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::KdumpImage;
using test::pattern;
using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

using test::kPage;

class KdumpTest : public test::ImageTest {
 protected:
  // Something that can be packed and tells which page it is.
  static Bytes page(std::uint64_t number) {
    Bytes out(kPage);
    const Bytes some = pattern(600, static_cast<unsigned>(number + 1));
    std::ranges::copy(some, out.begin());
    return out;
  }
  static test::KdumpPage stored(std::uint64_t number, const codec::Codec* codec = nullptr,
                                std::uint32_t flags = 0) {
    if (!codec) return {.number = number, .stored = page(number)};
    Bytes packed(kPage);
    packed.resize(codec->compress(page(number), packed));
    return {.number = number, .stored = packed, .flags = flags};
  }
  static KdumpImage three_pages() {
    KdumpImage image;
    image.pages = {stored(1), stored(2, &codec::kZlib, 1), stored(5, &codec::kZstd, 0x20)};
    image.excluded = {3, 7};
    return image;
  }
  std::expected<Vm, InitError> open(const KdumpImage& image) {
    test::write_file(file_, image.bytes());
    return ImageTest::open();
  }
  using ImageTest::open;
  InitError refusal(const KdumpImage& image) {
    test::write_file(file_, image.bytes());
    return ImageTest::refusal();
  }
  // The status of a read of the whole page.
  static Errc status(const Vm& vm, std::uint64_t number) {
    Bytes into(kPage);
    return read_one(vm, number * kPage, into).status;
  }
};

TEST_F(KdumpTest, PagesAreWhereTheirBitsSayAndTheRestAreHoles) {
  const auto vm = open(three_pages());
  ASSERT_TRUE(vm) << vm.error().message;
  const auto map = vm->memory().map();
  ASSERT_EQ(map->regions.size(), 2U);
  EXPECT_EQ(map->regions[0], (MemoryRegion{Gpa{kPage}, 2 * kPage}));
  EXPECT_EQ(map->regions[1], (MemoryRegion{Gpa{5 * kPage}, kPage}));
  for (const std::uint64_t number : {1, 2, 5})
    EXPECT_EQ(read(*vm, number * kPage, kPage), page(number)) << number;
  for (const std::uint64_t number : {0, 3, 4, 6, 7, 63, 64, 70, 1 << 20})
    EXPECT_EQ(status(*vm, number), Errc::hole) << number;
  EXPECT_EQ(value<std::string>(*vm, "format"), "kdump");
  EXPECT_EQ(value<std::string>(*vm, "compression"), "zlib");
  EXPECT_EQ(value<std::uint64_t>(*vm, "pages"), 3U);
  EXPECT_EQ(vm->info().vcpus, 2U);
}

TEST_F(KdumpTest, ReadsOfAnyStartAndLengthGoAcrossPagesAndEndAtHoles) {
  const auto vm = open(three_pages());
  ASSERT_TRUE(vm);
  Bytes both = page(1);
  const Bytes second = page(2);
  both.insert(both.end(), second.begin(), second.end());
  for (int round = 0; round < 2; ++round)  // from the file, then from the cache
    for (const std::uint64_t start : {0, 1, 600, 4095})
      for (const std::uint64_t size : {1, 8, 4096, 4097})
        EXPECT_EQ(read(*vm, kPage + start, std::min(size, 2 * kPage - start)),
                  test::slice(both, start, std::min(size, 2 * kPage - start)));
  Bytes into(3 * kPage);
  const ReadRequest request = read_one(*vm, kPage, into);
  EXPECT_EQ(request.status, Errc::hole);
  EXPECT_EQ(request.failed_at, Gpa{3 * kPage});
  EXPECT_EQ(request.done, 2 * kPage);
}

TEST_F(KdumpTest, WhereOnlyZerosWereLeftOutTheyAreZeros) {
  KdumpImage image = three_pages();
  image.dump_level = 1;
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_EQ(read(*vm, 3 * kPage, kPage), Bytes(kPage));
  EXPECT_EQ(read(*vm, 7 * kPage + 8, 16), Bytes(16));
  EXPECT_EQ(status(*vm, 4), Errc::hole);
  ASSERT_EQ(vm->memory().map()->regions.size(), 3U);
}

TEST_F(KdumpTest, OfA32BitMachine) {
  KdumpImage image = three_pages();
  image.bits = 32;
  image.machine = "i686";
  image.vmcoreinfo = "OSRELEASE=6.1\n";
  const auto vm = open(image);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 5 * kPage, kPage), page(5));
  EXPECT_EQ(vm->info().vmcoreinfo, "OSRELEASE=6.1\n");
}

TEST_F(KdumpTest, BitsBehindTheLastPageDoNotCount) {
  KdumpImage image = three_pages();
  image.max_mapnr = 70;
  image.beyond = {70, 71, 90, 127, 128};
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->end_of_memory(), Gpa{6 * kPage});
  EXPECT_EQ(value<std::uint64_t>(*vm, "pages"), 3U);
}

TEST_F(KdumpTest, FlattenedInWhateverRecords) {
  const Bytes plain = three_pages().bytes();
  for (const std::size_t size : {1000, 4096, 100000}) {
    auto records = test::records_of(plain, size);
    test::write_file(file_, test::flattened(records));
    const auto in_order = open();
    ASSERT_TRUE(in_order) << in_order.error().message;
    EXPECT_EQ(read(*in_order, 5 * kPage, kPage), page(5)) << size;
    EXPECT_TRUE(value<bool>(*in_order, "flattened"));
    std::ranges::reverse(records);
    test::write_file(file_, test::flattened(records));
    const auto vm = open();
    ASSERT_TRUE(vm) << vm.error().message;
    EXPECT_EQ(read(*vm, 2 * kPage, kPage), page(2)) << size;
  }
}

TEST_F(KdumpTest, OfFlattenedRecordsThatOverlapTheLastCounts) {
  const Bytes plain = three_pages().bytes();
  auto records = test::records_of(plain, 3000);
  // Page 1 lies behind the three descriptors; all of it again, and differently.
  const std::uint64_t data = 4 * kPage + 3 * 24;
  records.push_back({data, Bytes(kPage, std::byte{0x11})});
  records.push_back({data + 8, Bytes(100, std::byte{0x22})});
  test::write_file(file_, test::flattened(records));
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  Bytes expected(kPage, std::byte{0x11});
  std::fill_n(expected.begin() + 8, 100, std::byte{0x22});
  EXPECT_EQ(read(*vm, kPage, kPage), expected);
  EXPECT_EQ(read(*vm, 2 * kPage, kPage), page(2));
}

TEST_F(KdumpTest, PartsOfASplitDumpAreFoundBesideIt) {
  KdumpImage image = three_pages();
  image.split = 1;
  for (const auto& [first, last, name] :
       {std::tuple{0, 2, "d.1"}, {2, 5, "d.2"}, {5, 64, "d.10"}}) {
    image.first = static_cast<std::uint64_t>(first);
    image.last = static_cast<std::uint64_t>(last);
    test::write_file(folder_.path() / name, image.bytes());
  }
  test::write_file(folder_.path() / "d.3", pattern(5000));  // of the same form, no dump
  file_ = folder_.path() / "d.2";
  const auto whole = open();
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(value<std::uint64_t>(*whole, "split_into"), 3U);
  for (const std::uint64_t number : {1, 2, 5})
    EXPECT_EQ(read(*whole, number * kPage, kPage), page(number)) << number;
  EXPECT_FALSE(fact(*whole, "parts_missing"));
  std::filesystem::remove(folder_.path() / "d.10");
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_TRUE(value<bool>(*vm, "parts_missing"));
  EXPECT_EQ(status(*vm, 5), Errc::io) << "no hole: it is in a file that is not here";
  EXPECT_EQ(status(*vm, 4), Errc::hole);
}

TEST_F(KdumpTest, PartsAreNamedOneByOne) {
  KdumpImage image = three_pages();
  image.split = 1;
  image.last = 2;
  test::write_file(file_, image.bytes());
  image.first = 2;
  image.last = 64;
  const auto other = folder_.path() / "second";
  test::write_file(other, image.bytes());
  CoredumpParams params{.filepath = file_, .parts = {other}};
  const auto opened = [&params] {
    return init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
  };
  const auto vm = opened();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 5 * kPage, kPage), page(5));
  params.parts = {other, other};
  const auto twice = opened();
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("has too"));
  image.machine = "aarch64";
  test::write_file(other, image.bytes());
  params.parts = {other};
  const auto foreign = opened();
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("no part of the dump"));
}

// Many pages, so that a batch is shared out, with a hole and a broken page within.
TEST_F(KdumpTest, LargeReadsFromSeveralThreadsAreTheSame) {
  KdumpImage image;
  image.max_mapnr = 1000;
  for (std::uint64_t number = 0; number < 900; ++number)
    if (number != 700) image.pages.push_back(stored(number, &codec::kZlib, 1));
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  const auto check = [&vm] {
    Bytes into(800 * kPage);
    const ReadRequest request = read_one(*vm, 100, into);
    EXPECT_EQ(request.failed_at, Gpa{700 * kPage});
    EXPECT_EQ(request.done, 700 * kPage - 100);
    for (std::uint64_t number = 1; number < 700; ++number)
      ASSERT_EQ(test::slice(into, number * kPage - 100, kPage), page(number)) << number;
    std::vector<std::array<std::byte, 8>> words(900);
    std::vector<ReadRequest> batch;
    for (std::uint64_t i = 0; i < 900; ++i) batch.push_back({Gpa{i * kPage + 16}, words[i]});
    vm->memory().read(batch);
    for (std::uint64_t i = 0; i < 900; ++i)
      EXPECT_EQ(batch[i].status, i == 700 ? Errc::hole : Errc::none) << i;
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(check);
}

}  // namespace
}  // namespace microvmi
