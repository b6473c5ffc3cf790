// SPDX-License-Identifier: Apache-2.0
// Pausing, as xl list sees it; guests that go away while they are open; who is opened.

#include <chrono>
#include <thread>

#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

using namespace std::chrono_literals;

class XenControlTest : public XenTest {};

TEST_F(XenControlTest, PausesNest) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  ASSERT_TRUE(vm().pause());
  ASSERT_TRUE(vm().pause());
  EXPECT_TRUE(domain().paused());
  const Counters still = domain().counters();
  ASSERT_TRUE(vm().resume());
  EXPECT_TRUE(domain().paused());
  EXPECT_EQ(*vm().running(), false);
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(domain().counters().ticks, still.ticks);
  ASSERT_TRUE(vm().resume());
  EXPECT_FALSE(domain().paused());
  EXPECT_EQ(*vm().running(), true);
  EXPECT_TRUE(alive());
  EXPECT_EQ(vm().resume().error().code, Errc::busy);
}

TEST_F(XenControlTest, ClosingRestoresWhatWasFound) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  ASSERT_TRUE(vm().pause());
  close();
  EXPECT_FALSE(domain().paused());
  EXPECT_TRUE(alive());
  // Whoever paused it keeps it paused.
  ASSERT_EQ(shell("xl pause tiny").status, 0);
  ASSERT_NO_FATAL_FAILURE(reopen());
  EXPECT_EQ(*vm().running(), false);
  ASSERT_TRUE(vm().pause());
  ASSERT_TRUE(vm().resume());
  EXPECT_TRUE(domain().paused());
  ASSERT_TRUE(vm().pause());
  close();
  EXPECT_TRUE(domain().paused());
  ASSERT_EQ(shell("xl unpause tiny").status, 0);
  EXPECT_TRUE(alive());
}

TEST_F(XenControlTest, AGuestThatIsDestroyedIsDisconnected) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_another("doomed"));
  std::vector<std::byte> bytes(kPageSize);
  const Gpa gpa{domain().said("stamp_start")};
  ASSERT_TRUE(memory().read(gpa, bytes));
  domain().destroy();
  const auto read = memory().read(gpa, bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::disconnected) << to_text(read.error());
  const auto registers = vm().read_registers(VcpuId{0});
  ASSERT_FALSE(registers);
  EXPECT_EQ(registers.error().code, Errc::disconnected) << to_text(registers.error());
  EXPECT_FALSE(memory().write(gpa, bytes));
  EXPECT_FALSE(vm().pause());
  EXPECT_FALSE(open(domain()));
}

TEST_F(XenControlTest, TheNumberOfAnotherGuestIsNotTheOneThatWasOpened) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  const auto named = [](const std::string& name) {
    return init(DriverType::xen, {.xen = XenInitParams{.vm_name = name}});
  };
  auto by_name = named(kTiny);
  ASSERT_TRUE(by_name) << to_text(by_name.error());
  EXPECT_EQ(by_name->info().vm_name, kTiny);
  const auto nobody = named("nobody");
  ASSERT_FALSE(nobody);
  EXPECT_THAT(to_text(nobody.error()), testing::HasSubstr("nobody"));
  // A number and a name that disagree.
  const auto tiny = Domain::find(kTiny);
  ASSERT_TRUE(tiny);
  EXPECT_FALSE(
      init(DriverType::xen, {.xen = XenInitParams{.vm_name = "nobody", .domid = tiny->id()}}));
}

TEST_F(XenControlTest, TwoOfOneNameAreRefusedAndListed) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  const auto other = Domain::create("other");
  ASSERT_TRUE(other) << other.error();
  const std::string id = std::to_string(other->id());
  // xl itself lets no name be taken twice.
  ASSERT_EQ(shell("xenstore-write /local/domain/" + id + "/name tiny").status, 0);
  const auto both = init(DriverType::xen, {.xen = XenInitParams{.vm_name = kTiny}});
  ASSERT_FALSE(both);
  EXPECT_THAT(to_text(both.error()), testing::HasSubstr(id));
  EXPECT_THAT(to_text(both.error()), testing::HasSubstr(kTiny));
  EXPECT_TRUE(open(*other)) << "the number tells them apart";
}

}  // namespace
}  // namespace microvmi::test::xen
