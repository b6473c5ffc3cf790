// SPDX-License-Identifier: Apache-2.0
// Folders of stubs: which are left over, and what somebody else may have put in their place.
#include "qemu/stub_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "qemu/own_stub.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::qemu {
namespace {

namespace fs = std::filesystem;
using testing::StartsWith;

std::string own_name() {
  const auto folder = new_stub_folder("", static_cast<std::uint32_t>(::getpid()));
  EXPECT_TRUE(folder) << to_text(folder.error());
  return fs::path(folder.value_or("")).filename();
}

// Of a process that is gone by now.
std::string stale_name() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char one = 0;
    ::close(ends[1]);
    ::_exit(::read(ends[0], &one, 1) == 0 ? 0 : 1);
  }
  const auto folder = new_stub_folder("", static_cast<std::uint32_t>(child));
  ::close(ends[1]);
  ::close(ends[0]);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(folder) << to_text(folder.error());
  return fs::path(folder.value_or("")).filename();
}

void make(const fs::path& folder) {
  fs::create_directory(folder);
  std::ofstream(folder / kStubSocket) << "in place of the socket";
}

Expected<std::string> answer(Errc code) { return fail(code, "no stub today"); }

TEST(StubFolderTest, WhatIsLeftOfAProcessThatIsGoneIsRemoved) {
  const test::TempFolder place;
  const std::string stale = stale_name();
  const std::string elsewhere = "microvmi-gdb.1" + stale.substr(stale.find('.') + 1);
  const std::vector<std::string> kept{own_name(), elsewhere, "microvmi-gdb.", stale.substr(0, 30),
                                      "x" + stale};
  make(place.path() / stale);
  for (const std::string& one : kept) make(place.path() / one);
  remove_stale_stub_folders(place.path());
  EXPECT_FALSE(fs::exists(place.path() / stale));
  for (const std::string& one : kept) EXPECT_TRUE(fs::exists(place.path() / one)) << one;
  remove_stale_stub_folders(place.path() / "not there");
}

TEST(StubFolderTest, ALinkInItsPlaceIsNotFollowed) {
  const test::TempFolder place;
  make(place.path() / "of others");
  const fs::path link = place.path() / stale_name();
  fs::create_directory_symlink("of others", link);
  remove_stub_folder(link);
  remove_stale_stub_folders(place.path());
  EXPECT_TRUE(fs::exists(place.path() / "of others" / kStubSocket));
}

TEST(StubFolderTest, AStubThatIsStartedSweepsFirst) {
  const auto own = plan_stub(static_cast<std::uint32_t>(::getpid()));
  ASSERT_TRUE(own) << to_text(own.error());
  EXPECT_THAT(fs::path(own->folder).filename().string(), StartsWith("microvmi-gdb."));
  const fs::path stale = fs::path(own->folder).parent_path() / stale_name();
  make(stale);
  EXPECT_FALSE(start_stub(*own, [](auto) { return answer(Errc::io); }));
  EXPECT_FALSE(fs::exists(own->folder));
  EXPECT_FALSE(fs::exists(stale));
}

TEST(StubFolderTest, ItStaysWhereQemuDidNotEndTheStub) {
  const test::TempFolder place;
  const OwnStub own{.stub = {}, .folder = place.path() / own_name()};
  make(own.folder);
  EXPECT_EQ(end_stub(own, [](auto) { return answer(Errc::timed_out); }).error().code,
            Errc::timed_out);
  EXPECT_TRUE(fs::exists(fs::path(own.folder) / kStubSocket));
  EXPECT_TRUE(end_stub(own, [](auto) { return Expected<std::string>(); }));
  EXPECT_FALSE(fs::exists(own.folder));
}

TEST(StubFolderTest, ItStaysWhereQemuMayStillStartTheStub) {
  const auto own = plan_stub(static_cast<std::uint32_t>(::getpid()));
  ASSERT_TRUE(own) << to_text(own.error());
  EXPECT_FALSE(start_stub(*own, [](auto) { return answer(Errc::timed_out); }));
  EXPECT_TRUE(fs::exists(own->folder));
  remove_folder(*own);
  EXPECT_FALSE(fs::exists(own->folder));
}

}  // namespace
}  // namespace microvmi::qemu
