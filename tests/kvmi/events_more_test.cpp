// SPDX-License-Identifier: Apache-2.0
// Events where order and refusals matter: before a reply, denied, unsupported, injected otherwise.
#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

TEST(KvmSimulatedEventTest, AnEventBeforeTheReplyOfItsOwnCommand) {
  Task task{.deed = Deed::write_msr(0x174, 0x99)};
  OpenLine line(KernelSetup{.before_reply = {{Cmd::control_msr, {0U, task}}}});
  ASSERT_TRUE(line.vm);
  const auto done = line.vm->intercept(VcpuId{0}, MsrWrite::Filter{0x174});
  ASSERT_TRUE(done) << to_text(done.error());
  auto event = take<MsrWrite>(*line.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->new_value, 0x99U);
  ASSERT_TRUE(event->reply(SetValue{0x98}));
  EXPECT_EQ(line.peer.wait(task.outcome).written, 0x98U);
}

TEST(KvmSimulatedEventTest, AnotherExceptionThanTheInjectedOneIsTold) {
  OpenLine line(
      KernelSetup{.injected_instead = Injected{.vector = 8, .error_code = 0, .address = 0}});
  ASSERT_TRUE(line.vm);
  ASSERT_TRUE(line.vm->intercept(VcpuId{0}, TrapDelivered::Filter{}));
  ASSERT_TRUE(line.vm->inject(VcpuId{0}, {.vector = 6}));
  auto event = take<TrapDelivered>(*line.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->exception.vector, 8U);
}

TEST(KvmSimulatedEventTest, ATrapThatNobodyAskedForIsAnswered) {
  OpenLine line(KernelSetup{.trap_always = true});
  ASSERT_TRUE(line.vm);
  ASSERT_TRUE(line.vm->inject(VcpuId{0}, {.vector = 6}));
  EXPECT_TRUE(
      line.peer.wait_until([&] { return line.peer.record_unlocked().events_answered == 1; }));
}

TEST(KvmSimulatedEventTest, WhatNoDialectHasIsNotSupported) {
  for (const Dialect dialect : {Dialect::v6, Dialect::v7, Dialect::v12}) {
    OpenLine line(KernelSetup{.dialect = dialect});
    ASSERT_TRUE(line.vm);
    for (const Intercept& what :
         {Intercept{PrivilegedCall::Filter{}}, Intercept{EmulateUnimplemented::Filter{}}})
      EXPECT_EQ(line.vm->intercept(VcpuId{0}, what).error().code, Errc::not_supported);
  }
}

TEST(KvmSimulatedEventTest, ADeniedEventIsNoPermission) {
  OpenLine line(KernelSetup{.dialect = Dialect::v12, .denied = {Ev::descriptor}});
  ASSERT_TRUE(line.vm);
  const auto done = line.vm->intercept(VcpuId{0}, DescriptorAccess::Filter{});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::permission_denied) << to_text(done.error());
}

TEST(KvmSimulatedEventTest, AProcessorThatCannotStepIsNotSupported) {
  for (const Dialect dialect : {Dialect::v7, Dialect::v12}) {
    OpenLine line(KernelSetup{.dialect = dialect, .singlestep = false});
    ASSERT_TRUE(line.vm);
    const auto done = line.vm->intercept(VcpuId{0}, SingleStep::Filter{});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::not_supported) << to_text(done.error());
  }
}

TEST(KvmSimulatedEventTest, AStepThatDidNotRetireIsTold) {
  OpenLine line(KernelSetup{.next_step_fails = true});
  ASSERT_TRUE(line.vm);
  ASSERT_TRUE(line.vm->intercept(VcpuId{0}, SingleStep::Filter{}));
  auto event = take<SingleStep>(*line.vm);
  ASSERT_TRUE(event);
  EXPECT_FALSE((*event)->completed);
}

TEST(KvmSimulatedEventTest, WhatKvmiHasNotIsNotSupported) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  for (const Intercept& what :
       {Intercept{DebugException::Filter{}},
        Intercept{Watchpoint::Filter{.gva = Gva{0x5000}, .access = {.write = true}}}}) {
    const auto done = line.vm->intercept(VcpuId{0}, what);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::not_supported) << to_text(done.error());
  }
}

TEST(KvmSimulatedEventTest, AVcpuThatDoesNotExist) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  EXPECT_EQ(line.vm->intercept(VcpuId{7}, CrWrite::Filter{Reg::cr3}).error().code, Errc::not_found);
  EXPECT_EQ(line.vm->inject(VcpuId{7}, {.vector = 3}).error().code, Errc::not_found);
}

TEST(KvmSimulatedEventTest, AnUnaskedEventIsAnsweredOrEndsTheConnection) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  // vCPU 9 of 2 in a hypercall that nobody asked for.
  Bytes event = from_hex("0100 2002 63000000 2002 0900 05 000000");
  event.resize(8 + 544);
  line.peer.send_raw(event);
  EXPECT_FALSE(line.vm->next_event(Wait::at_most(100ms)));
  static_cast<void>(line.peer.take_violations());  // an answer to it is for no vCPU that waits
}

TEST(KvmSimulatedEventTest, AWaitEndsByItsDeadlineItsStopAndTheEndOfTheGuest) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  EXPECT_EQ(line.vm->next_event(Wait::at_most(20ms)).error().code, Errc::timed_out);
  std::stop_source source;
  {
    const std::jthread stopper([&] {
      std::this_thread::sleep_for(30ms);
      source.request_stop();
    });
    EXPECT_EQ(line.vm->next_event({.stop = source.get_token()}).error().code, Errc::cancelled);
  }
  const std::jthread leaver([&] {
    std::this_thread::sleep_for(30ms);
    line.peer.hang_up();
  });
  EXPECT_EQ(line.vm->next_event(Wait::at_most(kPatient)).error().code, Errc::disconnected);
}

TEST(KvmSimulatedEventTest, AnEventThatOutlivesItsVmIsAnError) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  ASSERT_TRUE(line.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  const auto outcome = line.peer.begin(0, Deed::write_cr(3, 0xa000));
  auto event = take<CrWrite>(*line.vm);
  ASSERT_TRUE(event);
  EXPECT_THAT(line.close(), testing::IsEmpty());
  EXPECT_EQ(line.peer.wait(outcome).written, 0xa000U) << "closing answers Proceed";
  EXPECT_EQ(event->reply(Refuse{}).error().code, Errc::disconnected);
}

TEST(KvmSimulatedEventTest, EventsBetweenReadsDisturbNothing) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  line.peer.poke(0x10000, pattern(0x10000));
  ASSERT_TRUE(line.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  const auto outcome = line.peer.begin(0, Deed::write_cr(3, 0x5000));
  std::vector<std::byte> bytes(0x10000);
  ASSERT_TRUE(line.memory().read(Gpa{0x10000}, bytes));
  EXPECT_EQ(bytes, bytes_of(pattern(0x10000)));
  EXPECT_TRUE(take<CrWrite>(*line.vm));  // dropped: Proceed
  EXPECT_EQ(line.peer.wait(outcome).written, 0x5000U);
}

}  // namespace
}  // namespace microvmi::test::kvmi
