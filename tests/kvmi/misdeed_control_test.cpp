// SPDX-License-Identifier: Apache-2.0
// Nonsense in the replies to control commands, and as events.
#include "kvmi/misdeeds.hpp"

namespace microvmi::test::kvmi {
namespace {

class KvmSimulatedControlMisdeed : public testing::TestWithParam<Bad> {};

TEST_P(KvmSimulatedControlMisdeed, AtTheRegisters) {
  Line line;
  auto vm = open(line, 1s);
  ASSERT_TRUE(vm) << to_text(vm.error());
  line.peer.fault({.at = Cmd::get_registers, .what = GetParam().what});
  const auto done = vm->read_registers(VcpuId{0});
  if (GetParam().what == Misdeed::silence) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::timed_out);
    EXPECT_TRUE(vm->read_registers(VcpuId{0}));
  } else if (!GetParam().ends) {
    EXPECT_TRUE(done) << to_text(done.error());
  }
  static_cast<void>(line.peer.take_violations());
}

TEST_P(KvmSimulatedControlMisdeed, AtTheInterception) {
  Line line;
  auto vm = open(line, 1s);
  ASSERT_TRUE(vm) << to_text(vm.error());
  line.peer.fault({.at = Cmd::vcpu_control_events, .what = GetParam().what});
  const auto done = vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3});
  if (!GetParam().read) {
    EXPECT_TRUE(done || GetParam().ends) << to_text(done.error());
  }
  static_cast<void>(line.peer.take_violations());
}

INSTANTIATE_TEST_SUITE_P(All, KvmSimulatedControlMisdeed, testing::ValuesIn(kBad),
                         [](const auto& one) { return std::string(one.param.name); });

// What is sent as an event and is none.
class KvmSimulatedBadEvent : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(KvmSimulatedBadEvent, EndsTheConnectionAndNothingElse) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  line.peer.send_raw(from_hex(GetParam().second));
  const auto event = line.vm->next_event(Wait::at_most(kPatient));
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, Errc::protocol) << to_text(event.error());
  EXPECT_FALSE(line.vm->read_registers(VcpuId{0}));
  static_cast<void>(line.peer.take_violations());
}

INSTANTIATE_TEST_SUITE_P(
    All, KvmSimulatedBadEvent,
    testing::Values(std::pair{"empty", "0100 0000 01000000"},
                    std::pair{"common_of_4", "0100 0400 01000000 0400 0000"},
                    std::pair{"common_beyond_the_end", "0100 0800 01000000 2002 0000 05 000000"},
                    std::pair{"oversize", "0100 f91f 01000000 2002 0000 05 000000"},
                    std::pair{"reply_of_nothing", "1100 0800 99000000 00000000 00000000"}),
    [](const auto& one) { return std::string(one.param.first); });

}  // namespace
}  // namespace microvmi::test::kvmi
