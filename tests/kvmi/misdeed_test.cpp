// SPDX-License-Identifier: Apache-2.0
// A kernel that speaks nonsense, stops in the middle or says nothing.
#include "kvmi/misdeeds.hpp"

namespace microvmi::test::kvmi {
namespace {

class KvmSimulatedMisdeed : public testing::TestWithParam<Bad> {};

TEST_P(KvmSimulatedMisdeed, AtARead) {
  Line line;
  auto vm = open(line, 1s);
  ASSERT_TRUE(vm) << to_text(vm.error());
  line.peer.poke(0x1000, pattern(4096));
  line.peer.fault({.at = Cmd::read_physical, .what = GetParam().what});
  std::vector<std::byte> bytes(64);
  const auto start = Wait::Clock::now();
  const auto done = vm->memory().read(Gpa{0x1000}, bytes);
  EXPECT_LT(Wait::Clock::now() - start, 20s);
  EXPECT_EQ(done.has_value(), !GetParam().read);
  if (done) {
    EXPECT_EQ(bytes, bytes_of(pattern(64)));
  } else {
    EXPECT_EQ(done.error().code, *GetParam().read) << to_text(done.error());
  }
  if (GetParam().ends) {
    EXPECT_TRUE(line.peer.wait_detached() || line.peer.connections() > 1);
    const auto again = vm->memory().read(Gpa{0x1000}, bytes);
    ASSERT_FALSE(again) << "nothing behind it can be believed";
    EXPECT_TRUE(again.error().code == Errc::protocol || again.error().code == Errc::disconnected)
        << to_text(again.error());
  } else {
    ASSERT_TRUE(vm->memory().read(Gpa{0x1000}, bytes));
    EXPECT_EQ(bytes, bytes_of(pattern(64)));
  }
  static_cast<void>(line.peer.take_violations());  // cut off in the middle, if anything
}

TEST_P(KvmSimulatedMisdeed, WhileItIsOpened) {
  // At each command that opening may need.
  for (const Cmd at : {Cmd::get_version, Cmd::check_command, Cmd::get_info, Cmd::get_max_gfn}) {
    Line line(
        PeerOptions{.kernel = {.faults = {{.at = at, .what = GetParam().what}}}, .connections = 1});
    const auto start = Wait::Clock::now();
    const auto vm = open(line, 300ms);
    EXPECT_LT(Wait::Clock::now() - start, 20s);
    // Missing data counts as zero, which is no number of vCPUs but may be a size.
    if (GetParam().read && GetParam().what != Misdeed::short_reply) {
      EXPECT_FALSE(vm) << static_cast<int>(at);
    }
    static_cast<void>(line.peer.take_violations());
  }
}

INSTANTIATE_TEST_SUITE_P(All, KvmSimulatedMisdeed, testing::ValuesIn(kBad),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace microvmi::test::kvmi
