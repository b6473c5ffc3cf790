// SPDX-License-Identifier: Apache-2.0
// What dump() writes is what opens again: the same map, the same bytes, the same holes.
#include "microvmi/dump.hpp"
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"
#include "unit/dump/scripted_memory.hpp"

namespace microvmi {
namespace {

using testing::ElementsAre;

using test::kMiB;

class RoundTripTest : public test::ImageTest {
 protected:
  RoundTripTest() {
    script_->map.regions = {
        {.gpa = Gpa{0}, .size = 2 * kMiB},
        {.gpa = Gpa{16 * kMiB}, .size = kMiB},
        {.gpa = Gpa{0xFFFC0000}, .size = 64 * kPageSize, .kind = MemoryRegion::Kind::rom},
        {.gpa = Gpa{1ULL << 32}, .size = kMiB}};
    script_->zero = {3 * kPageSize, 4 * kPageSize};
  }

  void expect_equal(const Vm& vm, const std::vector<MemoryRegion>& regions) {
    for (const MemoryRegion& region : regions)
      EXPECT_TRUE(read(vm, to_integer(region.gpa), region.size) ==
                  test::truth(*script_, to_integer(region.gpa), region.size))
          << std::hex << to_integer(region.gpa);
  }

  std::shared_ptr<test::Script> script_ = std::make_shared<test::Script>();
};

TEST_F(RoundTripTest, Elf) {
  Vm vm = test::scripted_vm(script_);
  ASSERT_TRUE(dump(vm, file_));
  const auto again = open();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->memory().map()->regions, script_->map.regions);
  EXPECT_EQ(again->info().vm_name, "a \"name\"\n");
  expect_equal(*again, script_->map.regions);
}

TEST_F(RoundTripTest, ElfOfWhatWasOpenedIsTheSame) {
  Vm vm = test::scripted_vm(script_);
  ASSERT_TRUE(dump(vm, file_));
  auto again = open();
  ASSERT_TRUE(again);
  const auto copy = folder_.path() / "copy";
  ASSERT_TRUE(dump(*again, copy));
  file_ = copy;
  const auto third = open();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->memory().map()->regions, script_->map.regions);
  expect_equal(*third, script_->map.regions);
}

TEST_F(RoundTripTest, Raw) {
  script_->map.regions.pop_back();
  Vm vm = test::scripted_vm(script_);
  ASSERT_TRUE(dump(vm, file_, {.format = ImageFormat::raw}));
  const auto again = open(DumpFormat::raw);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->end_of_memory(), Gpa{17 * kMiB});
  expect_equal(*again, {script_->map.regions[0], script_->map.regions[1]});
  EXPECT_EQ(read(*again, 8 * kMiB, 100), std::vector<std::byte>(100)) << "a hole became zeros";
}

TEST_F(RoundTripTest, HolesThatCameMeanwhileStayHoles) {
  script_->gone = {5 * kPageSize};
  Vm vm = test::scripted_vm(script_);
  ASSERT_TRUE(dump(vm, file_));
  const auto again = open();
  ASSERT_TRUE(again);
  std::byte into{};
  EXPECT_EQ(read_one(*again, 5 * kPageSize, std::span(&into, 1)).status, Errc::hole);
  expect_equal(*again, {{Gpa{0}, 5 * kPageSize}, {Gpa{6 * kPageSize}, kMiB}});
}

// What a dump leaves that was ended early is an image too, which says what is missing.
TEST_F(RoundTripTest, APartialFileOpensWithWhatItHas) {
  script_->before_read = [script = script_.get()](Gpa gpa) {
    if (gpa >= Gpa{kMiB}) script->is_dead = true;
  };
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_);
  ASSERT_FALSE(report);
  file_ = report.error().partial;
  const auto again = open();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(value<bool>(*again, "truncated"));
  EXPECT_THAT(again->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0}, kMiB}));
  expect_equal(*again, {{Gpa{0}, kMiB}});
  std::byte into{};
  EXPECT_EQ(read_one(*again, 16 * kMiB, std::span(&into, 1)).status, Errc::io);
}

class PackedRoundTripTest : public RoundTripTest, public testing::WithParamInterface<ImageFormat> {
 protected:
  Errc status(const Vm& vm, std::uint64_t gpa) {
    std::byte into{};
    return read_one(vm, gpa, std::span(&into, 1)).status;
  }
};

INSTANTIATE_TEST_SUITE_P(Formats, PackedRoundTripTest,
                         testing::Values(ImageFormat::lime, ImageFormat::kdump_zlib,
                                         ImageFormat::kdump_zstd),
                         [](const auto& one) {
                           std::string name(name_of(one.param));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST_P(PackedRoundTripTest, TheSameBytesAndHoles) {
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_, {.format = GetParam()});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->file_size, std::filesystem::file_size(file_));
  const auto again = open();
  ASSERT_TRUE(again) << again.error().message;
  expect_equal(*again, script_->map.regions);
  for (const std::uint64_t hole : {2 * kMiB, 17 * kMiB, (1UL << 32) + kMiB})
    EXPECT_EQ(status(*again, hole), Errc::hole) << hole;
}

TEST_P(PackedRoundTripTest, PagesThatAreGoneAreHoles) {
  script_->gone = {0, 5 * kPageSize, 6 * kPageSize, 2 * kMiB - kPageSize, 16 * kMiB};
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_, {.format = GetParam()});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->unreadable, 5 * kPageSize);
  const auto again = open();
  ASSERT_TRUE(again) << again.error().message;
  for (const std::uint64_t page : script_->gone) EXPECT_EQ(status(*again, page), Errc::hole);
  expect_equal(*again, {{Gpa{kPageSize}, 4 * kPageSize},
                        {Gpa{7 * kPageSize}, 2 * kMiB - 8 * kPageSize},
                        {Gpa{16 * kMiB + kPageSize}, kMiB - kPageSize},
                        script_->map.regions[2],
                        script_->map.regions[3]});
}

TEST_P(PackedRoundTripTest, APartialFileOpensWithWhatItHas) {
  script_->before_read = [script = script_.get()](Gpa gpa) {
    if (gpa >= Gpa{kMiB}) script->is_dead = true;
  };
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_, {.format = GetParam()});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().reached, Gpa{kMiB});
  file_ = report.error().partial;
  const auto again = open();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_THAT(again->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0}, kMiB}));
  expect_equal(*again, {{Gpa{0}, kMiB}});
  if (GetParam() != ImageFormat::lime) {
    EXPECT_TRUE(value<bool>(*again, "cut_off"));
  }
}

}  // namespace
}  // namespace microvmi
