// SPDX-License-Identifier: Apache-2.0
// Dumps that succeed: every byte, the holes between them, and what the report says.
#include "microvmi/dump.hpp"
#include "support/sizes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/temp_folder.hpp"
#include "unit/dump/elf_file.hpp"
#include "unit/dump/scripted_memory.hpp"

namespace microvmi {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kMiB;
constexpr Gpa kRom{0xFFFC0000};

class DumpTest : public testing::TestWithParam<bool> {
 protected:
  DumpTest() {
    script_->views = GetParam();
    script_->map.regions = {{.gpa = Gpa{0}, .size = 3 * kMiB + kPageSize},
                            {.gpa = Gpa{16 * kMiB}, .size = 2 * kPageSize},
                            {.gpa = kRom, .size = 64 * kPageSize, .kind = MemoryRegion::Kind::rom}};
  }

  std::expected<DumpReport, DumpError> dump_as(ImageFormat format) {
    Vm vm = test::scripted_vm(script_);
    return dump(vm, file_, {.format = format, .progress = [this](const DumpProgress& progress) {
                              progress_.push_back(progress);
                            }});
  }

  test::TempFolder folder_;
  fs::path file_ = folder_.path() / "guest.elf";
  std::shared_ptr<test::Script> script_ = std::make_shared<test::Script>();
  std::vector<DumpProgress> progress_;
};

INSTANTIATE_TEST_SUITE_P(Both, DumpTest, testing::Values(false, true),
                         [](const auto& one) { return one.param ? "views" : "copies"; });

std::vector<std::byte> part(const std::vector<std::byte>& file, std::uint64_t at,
                            std::uint64_t size) {
  if (at > file.size() || size > file.size() - at) return {};
  const auto begin = file.begin() + static_cast<std::ptrdiff_t>(at);
  return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

TEST_P(DumpTest, ElfHasASegmentForEachRegionWithItsBytes) {
  const auto report = dump_as(ImageFormat::elf);
  ASSERT_TRUE(report) << report.error().message;
  const auto bytes = test::content_of(file_);
  const test::ElfFile elf(bytes);
  EXPECT_EQ(elf.head.e_type, ET_CORE);
  EXPECT_EQ(elf.head.e_phoff, 64U);
  ASSERT_EQ(elf.loads.size(), 3U);
  for (std::size_t i = 0; i < elf.loads.size(); ++i) {
    const MemoryRegion& region = script_->map.regions[i];
    const Elf64_Phdr& load = elf.loads[i];
    EXPECT_EQ(Gpa{load.p_paddr}, region.gpa);
    EXPECT_EQ(load.p_filesz, region.size);
    EXPECT_EQ(load.p_memsz, region.size);
    EXPECT_EQ(load.p_offset % kPageSize, 0U);
    EXPECT_EQ((load.p_flags & PF_W) == 0, region.kind == MemoryRegion::Kind::rom);
    EXPECT_EQ(part(bytes, load.p_offset, load.p_filesz),
              test::truth(*script_, to_integer(region.gpa), region.size));
  }
  EXPECT_EQ(report->file, file_);
  EXPECT_EQ(report->bytes, 3 * kMiB + 67 * kPageSize);
  EXPECT_EQ(report->file_size, bytes.size());
  EXPECT_EQ(report->padded, 0U);
  EXPECT_EQ(report->unreadable, 0U);
}

TEST_P(DumpTest, RawPutsEachByteAtItsAddressUpToTheEndOfRam) {
  const auto report = dump_as(ImageFormat::raw);
  ASSERT_TRUE(report) << report.error().message;
  const auto bytes = test::content_of(file_);
  ASSERT_EQ(bytes.size(), 16 * kMiB + 2 * kPageSize) << "firmware above the RAM is left out";
  std::vector<std::byte> expected(bytes.size());
  for (const MemoryRegion& region : {script_->map.regions[0], script_->map.regions[1]})
    std::ranges::copy(test::truth(*script_, to_integer(region.gpa), region.size),
                      expected.begin() + static_cast<std::ptrdiff_t>(to_integer(region.gpa)));
  EXPECT_TRUE(bytes == expected);
  EXPECT_EQ(report->bytes, 3 * kMiB + 3 * kPageSize);
  EXPECT_EQ(report->padded, 13 * kMiB - kPageSize);
  struct stat status{};
  ASSERT_EQ(::stat(file_.c_str(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, static_cast<std::int64_t>(5 * kMiB)) << "the hole takes room";
}

TEST_P(DumpTest, TheNoteSaysWhereItIsFrom) {
  ASSERT_TRUE(dump_as(ImageFormat::elf));
  const std::string note = test::ElfFile(test::content_of(file_)).note;
  EXPECT_THAT(note, HasSubstr(R"("driver":"memflow")"));
  EXPECT_THAT(note, HasSubstr(R"("connector":"scripted")"));
  EXPECT_THAT(note, HasSubstr(R"("vm_name":"a \"name\"\n")"));
  EXPECT_THAT(note, HasSubstr(R"("writer":"microvmi )"));
}

TEST_P(DumpTest, ProgressBeginsAtNothingGrowsAndEndsWithAll) {
  const auto report = dump_as(ImageFormat::elf);
  ASSERT_TRUE(report);
  ASSERT_GE(progress_.size(), 2U);
  EXPECT_EQ(progress_.front().done, 0U);
  EXPECT_EQ(progress_.back().done, report->bytes);
  EXPECT_EQ(progress_.back().at, script_->map.regions.back().end());
  for (std::size_t i = 1; i < progress_.size(); ++i) {
    EXPECT_EQ(progress_[i].total, report->bytes);
    EXPECT_GE(progress_[i].done, progress_[i - 1].done);
    EXPECT_GE(progress_[i].at, progress_[i - 1].at);
  }
}

// For the answer the kernel may look at all pages that are left.
TEST_P(DumpTest, WhatIsTouchedIsAskedOnceForARun) {
  ASSERT_TRUE(dump_as(ImageFormat::elf));
  EXPECT_EQ(script_->asked, 3);
}

TEST_P(DumpTest, TheFileIsForItsOwnerAlone) {
  ASSERT_TRUE(dump_as(ImageFormat::raw));
  struct stat status{};
  ASSERT_EQ(::stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_P(DumpTest, ADumpReplacesWhatWasThere) {
  std::ofstream(file_) << "old";
  std::ofstream(file_.string() + ".partial") << "left over";
  const fs::path other_name = folder_.path() / "other";
  fs::create_hard_link(file_.string() + ".partial", other_name);
  ASSERT_TRUE(dump_as(ImageFormat::elf));
  EXPECT_FALSE(fs::exists(file_.string() + ".partial"));
  EXPECT_EQ(test::content_of(other_name).size(), 9U) << "another name of the old partial file";
  EXPECT_EQ(test::ElfFile(test::content_of(file_)).loads.size(), 3U);
}

class GoneTest : public testing::Test {
 protected:
  GoneTest() { script_->map.regions = {{.gpa = Gpa{0}, .size = 2 * kMiB}}; }

  test::TempFolder folder_;
  fs::path file_ = folder_.path() / "guest";
  std::shared_ptr<test::Script> script_ = std::make_shared<test::Script>();
};

TEST_F(GoneTest, PagesThatAreGoneAreAbsentFromTheElf) {
  script_->gone = {0, 3 * kPageSize, 4 * kPageSize, 2 * kMiB - kPageSize};
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->unreadable, 4 * kPageSize);
  EXPECT_EQ(report->first_unreadable, Gpa{0});
  EXPECT_EQ(report->bytes, 2 * kMiB - 4 * kPageSize);
  const auto bytes = test::content_of(file_);
  const test::ElfFile elf(bytes);
  ASSERT_EQ(elf.loads.size(), 2U);
  EXPECT_EQ(elf.loads[0].p_paddr, kPageSize);
  EXPECT_EQ(elf.loads[0].p_filesz, 2 * kPageSize);
  EXPECT_EQ(elf.loads[1].p_paddr, 5 * kPageSize);
  for (const Elf64_Phdr& load : elf.loads)
    EXPECT_EQ(part(bytes, load.p_offset, load.p_filesz),
              test::truth(*script_, load.p_paddr, load.p_filesz));
  EXPECT_THAT(elf.note, HasSubstr(R"("unreadable":16384)"));
  EXPECT_THAT(elf.note, HasSubstr("[[0,4096],[12288,8192],[2093056,4096]]"));
}

TEST_F(GoneTest, ARawDumpHasZerosThereAndCountsThem) {
  script_->gone = {3 * kPageSize};
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_, {.format = ImageFormat::raw});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->padded, kPageSize);
  const auto bytes = test::content_of(file_);
  EXPECT_EQ(part(bytes, 3 * kPageSize, kPageSize), std::vector<std::byte>(kPageSize));
  EXPECT_EQ(bytes.back(), test::truth(2 * kMiB - 1));
}

// A view that was good when it was taken and whose guest unplugged the page since.
TEST_F(GoneTest, AViewThatIsNoLongerMemoryIsNotWritten) {
  script_->views = true;
  script_->gone = {2 * kMiB - kPageSize};
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_, {.format = ImageFormat::raw});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->unreadable, kPageSize);
  EXPECT_EQ(part(test::content_of(file_), 2 * kMiB - kPageSize, kPageSize),
            std::vector<std::byte>(kPageSize));
}

TEST_F(GoneTest, MorePiecesThanTheHeadHasRoomForAreListedAtTheEnd) {
  script_->map.regions = {{.gpa = Gpa{0}, .size = 4 * kMiB}};
  for (std::uint64_t page = 1; page < 1000; page += 2) script_->gone.insert(page * kPageSize);
  Vm vm = test::scripted_vm(script_);
  const auto report = dump(vm, file_);
  ASSERT_TRUE(report);
  const auto bytes = test::content_of(file_);
  EXPECT_EQ(bytes.size(), report->file_size);
  const test::ElfFile elf(bytes);
  ASSERT_EQ(elf.loads.size(), 501U);
  EXPECT_GT(elf.head.e_phoff, 4 * kMiB);
  for (const Elf64_Phdr& load : elf.loads)
    EXPECT_EQ(part(bytes, load.p_offset, load.p_filesz),
              test::truth(*script_, load.p_paddr, load.p_filesz));
}

TEST_F(GoneTest, ZerosTakeNoRoom) {
  for (std::uint64_t page = 16; page < 512; ++page) script_->zero.insert(page * kPageSize);
  Vm vm = test::scripted_vm(script_);
  ASSERT_TRUE(dump(vm, file_, {.format = ImageFormat::raw}));
  EXPECT_TRUE(test::content_of(file_) == test::truth(*script_, 0, 2 * kMiB));
  struct stat status{};
  ASSERT_EQ(::stat(file_.c_str(), &status), 0);
  EXPECT_LE(status.st_blocks * 512, 128 << 10);
}

}  // namespace
}  // namespace microvmi
