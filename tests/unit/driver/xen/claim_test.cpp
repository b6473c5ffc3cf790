// SPDX-License-Identifier: Apache-2.0
// Who listens to a domain, and what is left of one that was killed.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "driver/xen/native_claim.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::xen::native {
namespace {

class XenClaim : public testing::Test {
 protected:
  test::TempFolder folder;
  std::string path = (folder.path() / "claim").string();
};

TEST_F(XenClaim, IsOneProgramsAtATime) {
  auto first = Claim::make(path);
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->was_left());
  const auto second = Claim::make(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::busy);
  first->give_up();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(Claim::make(path)->was_left());
}

TEST_F(XenClaim, OfAProgramThatWasKilledIsToldFromOneThatWasGivenUp) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto mine = Claim::make(path);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  auto next = Claim::make(path);
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->was_left());
  next->give_up();
  EXPECT_FALSE(Claim::make(path)->was_left());
}

TEST_F(XenClaim, ALinkIsNotFollowed) {
  std::filesystem::create_symlink(folder.path() / "elsewhere", path);
  EXPECT_FALSE(Claim::make(path));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "elsewhere"));
}

}  // namespace
}  // namespace microvmi::xen::native
