// SPDX-License-Identifier: Apache-2.0
// Guests that come and go: the end of a connection, a new one, two opens, closing in the middle.
#include <thread>

#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::IsEmpty;

Errc read_error(Vm& vm) {
  std::vector<std::byte> bytes(16);
  const auto done = vm.memory().read(Gpa{0}, bytes);
  return done ? Errc::none : done.error().code;
}

class KvmSimulatedLife : public EachDialect {};

TEST_P(KvmSimulatedLife, EofIsADetachedGuestAndANewOneCanBeOpened) {
  OpenLine line(KernelSetup{.dialect = GetParam()});
  ASSERT_TRUE(line.vm);
  line.peer.hang_up();
  ASSERT_TRUE(line.peer.wait_until([&] { return !line.peer.attached_unlocked(); }));
  EXPECT_EQ(read_error(*line.vm), Errc::disconnected);
  EXPECT_EQ(line.vm->read_registers(VcpuId{0}).error().code, Errc::disconnected);
  EXPECT_EQ(line.vm->next_event(Wait::at_most(1s)).error().code, Errc::disconnected);
  line.vm.reset();
  auto again = line.open();
  ASSERT_TRUE(again) << to_text(again.error());
  EXPECT_EQ(read_error(*again), Errc::none);
  EXPECT_GE(line.peer.connections(), 2U);
}

TEST_P(KvmSimulatedLife, OpenedAndClosedManyTimes) {
  Line line(PeerOptions{.kernel = {.dialect = GetParam()}, .reconnect = 1ms});
  for (int i = 0; i != 20; ++i) {
    auto vm = line.open();
    ASSERT_TRUE(vm) << i << ": " << to_text(vm.error());
    EXPECT_EQ(read_error(*vm), Errc::none) << i;
  }
}

TEST_P(KvmSimulatedLife, ClosingUndoesEverything) {
  OpenLine line(KernelSetup{.dialect = GetParam()});
  ASSERT_TRUE(line.vm);
  Vm& vm = *line.vm;
  for (const Intercept& what :
       {Intercept{CrWrite::Filter{Reg::cr0}}, Intercept{CrWrite::Filter{Reg::cr3}},
        Intercept{MsrWrite::Filter{0x174}}, Intercept{Int3::Filter{}},
        Intercept{PageAccess::Filter{}}, Intercept{DescriptorAccess::Filter{}},
        Intercept{Hypercall::Filter{}}, Intercept{Xsetbv::Filter{}}}) {
    const auto done = vm.intercept(kEveryVcpu, what);
    ASSERT_TRUE(done) << to_text(done.error());
  }
  const auto control = vm.page_access();
  ASSERT_TRUE(control);
  const PageRights rights{.gfn = Gfn{7}, .allowed = {.read = true}};
  ASSERT_TRUE((*control)->allow({&rights, 1}));
  ASSERT_TRUE(vm.pause());
  // One event was not taken, one is in the caller's hands, and the guest is paused.
  ASSERT_TRUE(vm.resume());
  const auto untaken = line.peer.begin(0, Deed::write_cr(3, 0xa000));
  ASSERT_TRUE(line.peer.wait_until([&] { return untaken->events == 1; }));
  auto event = take<CrWrite>(vm);
  const auto other = line.peer.begin(1, Deed::write_msr(0x174, 0xb000));
  ASSERT_TRUE(line.peer.wait_until([&] { return other->events == 1; }));
  ASSERT_TRUE(vm.pause());
  EXPECT_THAT(line.close(), IsEmpty());
  EXPECT_EQ(line.peer.wait(untaken).written, 0xa000U);
  EXPECT_EQ(line.peer.wait(other).written, 0xb000U);
  EXPECT_FALSE(untaken->released);
  EXPECT_FALSE(other->released);
}

MICROVMI_EACH_DIALECT(KvmSimulatedLife);

TEST(KvmSimulatedLifeTest, TheSocketFileIsGoneAfterTheClose) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  line.vm.reset();
  EXPECT_FALSE(std::filesystem::exists(line.path()));
}

TEST(KvmSimulatedLifeTest, ASecondOpenOfTheSameGuestIsToldWhyItFails) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  auto params = line.params();
  params.timeout = 300ms;
  const auto second = Line::open(params);
  ASSERT_FALSE(second) << "one connection for each guest";
  EXPECT_TRUE(second.error().code == Errc::busy || second.error().code == Errc::timed_out)
      << to_text(second.error());
  EXPECT_EQ(read_error(*line.vm), Errc::none) << "the first one is not disturbed";
}

TEST(KvmSimulatedLifeTest, TwoGuestsAtOnce) {
  OpenLine one(PeerOptions{.name = "one"});
  OpenLine two(PeerOptions{.name = "two"});
  ASSERT_TRUE(one.vm && two.vm);
  one.peer.poke(0x1000, Bytes{1});
  two.peer.poke(0x1000, Bytes{2});
  EXPECT_EQ(one.memory().read_value<std::uint8_t>(Gpa{0x1000}).value_or(0), 1U);
  EXPECT_EQ(two.memory().read_value<std::uint8_t>(Gpa{0x1000}).value_or(0), 2U);
  one.vm.reset();
  EXPECT_EQ(read_error(*two.vm), Errc::none);
}

TEST(KvmSimulatedLifeTest, AWaitThatIsStoppedLetsTheGuestBeClosed) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  ASSERT_TRUE(line.vm->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  std::stop_source source;
  Errc code = Errc::none;
  std::jthread waiter(
      [&] { code = line.vm->next_event({.stop = source.get_token()}).error().code; });
  std::this_thread::sleep_for(20ms);
  source.request_stop();
  waiter.join();
  EXPECT_EQ(code, Errc::cancelled);
  EXPECT_THAT(line.close(), IsEmpty());
}

TEST(KvmSimulatedLifeTest, AGuestThatGoesWhileItIsRead) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  std::vector<std::jthread> readers;
  std::array<Errc, 3> ends{};
  for (Errc& end : ends)
    readers.emplace_back([&line, &end] {
      std::vector<std::byte> bytes(0x10000);
      for (int i = 0; i != 100'000 && end == Errc::none; ++i)
        if (const auto done = line.memory().read(Gpa{0x10000}, bytes); !done)
          end = done.error().code;
    });
  ASSERT_TRUE(line.peer.wait_until(
      [&] { return line.peer.record_unlocked().commands.contains(Cmd::read_physical); }));
  line.peer.hang_up();
  for (std::jthread& reader : readers) reader.join();
  for (const Errc end : ends) EXPECT_EQ(end, Errc::disconnected);
}

TEST(KvmSimulatedLifeTest, ClosingDoesNotWaitForASilentKernel) {
  Line line;
  auto params = line.params();
  params.timeout = 500ms;
  auto vm = Line::open(params);
  ASSERT_TRUE(vm) << to_text(vm.error());
  ASSERT_TRUE(vm->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  line.peer.stop_vm(true);  // no vCPU command is answered any more
  const auto start = Wait::Clock::now();
  {
    const Vm closed = *std::move(vm);
  }
  EXPECT_LT(Wait::Clock::now() - start, 20s);
  line.peer.stop_vm(false);
}

}  // namespace
}  // namespace microvmi::test::kvmi
