// SPDX-License-Identifier: Apache-2.0
// Dumps that are refused, and dumps that end early: what is left and what the error says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "microvmi/dump.hpp"
#include "support/sizes.hpp"
#include "support/temp_folder.hpp"
#include "unit/dump/elf_file.hpp"
#include "unit/dump/scripted_memory.hpp"

namespace microvmi {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using test::kMiB;

class DumpFailureTest : public testing::Test {
 protected:
  DumpFailureTest() { script_->map.regions = {{.gpa = Gpa{0}, .size = 8 * kMiB}}; }

  DumpError failure(const fs::path& file, const DumpOptions& options = {}) {
    Vm vm = test::scripted_vm(script_);
    auto report = dump(vm, file, options);
    EXPECT_FALSE(report) << file << " was dumped to";
    return report ? DumpError{} : std::move(report.error());
  }

  test::TempFolder folder_;
  fs::path file_ = folder_.path() / "guest.elf";
  fs::path partial_ = folder_.path() / "guest.elf.partial";
  std::shared_ptr<test::Script> script_ = std::make_shared<test::Script>();
};

TEST_F(DumpFailureTest, WhatIsNoRegularFileIsRefused) {
  const fs::path fifo = folder_.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const fs::path link = folder_.path() / "link";
  std::ofstream(folder_.path() / "aim") << "x";
  fs::create_symlink("aim", link);
  EXPECT_THAT(failure(folder_.path()).message, HasSubstr("which is a directory"));
  EXPECT_THAT(failure(fifo).message, HasSubstr("which is a pipe"));
  EXPECT_THAT(failure(link).message, HasSubstr("which is a symbolic link"));
  EXPECT_THAT(failure("/dev/null").message, HasSubstr("which is a device"));
  EXPECT_EQ(failure("/dev/stdout").code, Errc::invalid_argument);
  EXPECT_THAT(failure(folder_.path() / "").message, HasSubstr("names no file"));
  EXPECT_THAT(failure("").message, HasSubstr("names no file"));
  EXPECT_EQ(test::content_of(link).size(), 1U);
}

TEST_F(DumpFailureTest, AFolderThatIsNotThereIsNamed) {
  const DumpError error = failure(folder_.path() / "none" / "guest");
  EXPECT_EQ(error.code, Errc::not_found);
  EXPECT_THAT(error.message, HasSubstr("No such file or directory"));
  EXPECT_TRUE(error.partial.empty());
}

TEST_F(DumpFailureTest, WhatLiesInTheWayOfThePartialFileIsNotFollowed) {
  std::ofstream(folder_.path() / "precious") << "precious";
  fs::create_symlink("precious", partial_);
  EXPECT_THAT(failure(file_).message, HasSubstr("is in the way"));
  EXPECT_EQ(test::content_of(folder_.path() / "precious").size(), 8U);
  fs::remove(partial_);
  ASSERT_EQ(::mkfifo(partial_.c_str(), 0600), 0);
  EXPECT_THAT(failure(file_).message, HasSubstr("it is a pipe"));
  fs::remove(partial_);
  fs::create_directory(partial_);
  EXPECT_THAT(failure(file_).message, HasSubstr("it is a directory"));
}

TEST_F(DumpFailureTest, APartialFileOfAnotherUserIsLeftAlone) {
  std::ofstream(partial_) << "theirs";
  if (::chown(partial_.c_str(), 12345, 12345) != 0)
    GTEST_SKIP() << "only root may give a file away";
  const DumpError error = failure(file_);
  EXPECT_EQ(error.code, Errc::permission_denied);
  EXPECT_THAT(error.message, HasSubstr("another user owns it"));
  EXPECT_EQ(test::content_of(partial_).size(), 6U);
}

TEST_F(DumpFailureTest, TwoDumpsToOneFileAreOneTooMany) {
  std::optional<DumpError> second;
  const DumpOptions options{.progress = [&](const DumpProgress&) {
    if (!second) second = failure(file_);
  }};
  Vm vm = test::scripted_vm(script_);
  EXPECT_TRUE(dump(vm, file_, options));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->code, Errc::busy);
  EXPECT_THAT(second->message, HasSubstr("another dump is writing it"));
}

TEST_F(DumpFailureTest, AGuestWithoutMemoryLeavesNothing) {
  script_->map.regions.clear();
  EXPECT_THAT(failure(file_).message, HasSubstr("no memory to dump"));
  EXPECT_FALSE(fs::exists(partial_));
}

// kdump counts pages in 32 bits.
TEST_F(DumpFailureTest, MemoryThatAKdumpCannotCountIsRefusedBeforeAFileIsMade) {
  constexpr std::uint64_t kEnd = std::uint64_t{16} << 40;
  script_->map.regions.push_back({.gpa = Gpa{kEnd - kPageSize}, .size = kPageSize});
  const DumpError error = failure(file_, {.format = ImageFormat::kdump_zlib});
  EXPECT_EQ(error.code, Errc::not_supported);
  EXPECT_THAT(error.message, HasSubstr("ends at 16 TiB or beyond"));
  EXPECT_EQ(error.hint, "dump as elf");
  EXPECT_FALSE(fs::exists(partial_));
}

TEST_F(DumpFailureTest, CancelledItSaysHowFarItCame) {
  std::stop_source stop;
  const DumpOptions options{.wait = {.stop = stop.get_token()}, .progress = [&](const auto& seen) {
                              if (seen.done == 0) stop.request_stop();
                            }};
  std::ofstream(file_) << "old";
  const DumpError error = failure(file_, options);
  EXPECT_EQ(error.code, Errc::cancelled);
  EXPECT_EQ(error.partial, partial_);
  EXPECT_THAT(error.message, HasSubstr(partial_.string() + "' holds the guest's memory below 0x0"));
  EXPECT_TRUE(fs::exists(partial_));
  EXPECT_EQ(test::content_of(file_).size(), 3U) << "what was there before stays";
}

TEST_F(DumpFailureTest, ADeadlineEndsIt) {
  EXPECT_EQ(failure(file_, {.wait = Wait::at_most(std::chrono::milliseconds(0))}).code,
            Errc::timed_out);
}

class DyingGuestTest : public DumpFailureTest, public testing::WithParamInterface<bool> {
 protected:
  DyingGuestTest() { script_->views = GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Both, DyingGuestTest, testing::Values(false, true),
                         [](const auto& one) { return one.param ? "views" : "copies"; });

TEST_P(DyingGuestTest, AGuestThatDiesInTheMiddleEndsInDisconnected) {
  script_->before_read = [script = script_.get()](Gpa gpa) {
    if (gpa >= Gpa{5 * kMiB}) script->is_dead = true;
  };
  const DumpError error = failure(file_);
  EXPECT_EQ(error.code, Errc::disconnected);
  EXPECT_THAT(error.message, HasSubstr("the guest went away"));
  EXPECT_LE(error.reached, Gpa{5 * kMiB});
  EXPECT_FALSE(fs::exists(file_));
  const std::uint64_t whole = to_integer(error.reached);
  const auto bytes = test::content_of(partial_);
  ASSERT_GT(bytes.size(), whole);
  const auto first = test::truth(*script_, 0, whole);
  const test::ElfFile elf(bytes);
  ASSERT_EQ(elf.loads.size(), 1U);
  EXPECT_TRUE(std::equal(first.begin(), first.end(),
                         bytes.begin() + static_cast<std::ptrdiff_t>(elf.loads[0].p_offset)));
}

TEST_F(DumpFailureTest, MemoryThatFailsToBeReadIsNeverZeros) {
  script_->views = false;
  script_->bad[3 * kMiB + 5 * kPageSize] = Errc::io;
  const DumpError error = failure(file_);
  EXPECT_EQ(error.code, Errc::io);
  EXPECT_EQ(error.reached, Gpa{3 * kMiB + 5 * kPageSize});
  EXPECT_EQ(std::get<Gpa>(error.where), error.reached);
  EXPECT_THAT(error.message, HasSubstr("cannot read guest memory at 0x305000: io"));
}

TEST_F(DumpFailureTest, AFileSizeLimitIsAnErrorAndKillsNoOne) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 3 * kMiB, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const DumpError error = failure(file_);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(error.code, Errc::io);
  EXPECT_THAT(error.message, HasSubstr("File too large"));
  EXPECT_THAT(error.message, HasSubstr("below 0x200000"));
  EXPECT_EQ(error.reached, Gpa{2 * kMiB}) << "the third MiB did not fit behind the headers";
  EXPECT_EQ(fs::file_size(partial_), 3 * kMiB);
  EXPECT_FALSE(fs::exists(file_));
}

}  // namespace
}  // namespace microvmi
