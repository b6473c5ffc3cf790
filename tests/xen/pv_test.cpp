// SPDX-License-Identifier: Apache-2.0
// A PV guest: its frames are the machine's, and its own page tables lead to them.
#include <cstring>

#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

class XenPvTest : public XenTest {
 protected:
  [[nodiscard]] static Gva gva(const std::string& what) {
    return Gva{std::stoull(linux_said(what), nullptr, 16)};
  }

  // The page tables in force: those of the process, which is always busy.
  [[nodiscard]] AddressSpace process() {
    const auto registers = vm().read_registers(VcpuId{0});
    EXPECT_TRUE(registers) << to_text(registers.error());
    return {.cr3 = registers ? (*registers)[Reg::cr3].value_or(0) : 0};
  }

  // Those of its kernel, which Xen keeps beside them; xenctx prints them.
  [[nodiscard]] AddressSpace kernel() {
    const std::string text = shell("xenctx -a " + std::to_string(domain().id()) + " 0").output;
    const std::size_t at = text.find("cr3: ");
    EXPECT_NE(at, std::string::npos) << text;
    return {.cr3 = at == std::string::npos ? 0 : std::stoull(text.substr(at + 5), nullptr, 16)};
  }

  [[nodiscard]] std::string text_at(const AddressSpace& space, Gva at, std::size_t size) {
    VirtualMemory there(memory(), space);
    std::string text(size, '\0');
    const auto done = there.read(at, std::as_writable_bytes(std::span(text)));
    EXPECT_TRUE(done) << to_text(done.error());
    return text;
  }

  // Until the process runs and not the kernel.
  [[nodiscard]] bool reach_process(Gva at) {
    for (int i = 0; i < 200; ++i)
      if (vm().translate(process(), at)) return true;
    return false;
  }
};

TEST_F(XenPvTest, TheKernelsBannerIsWhereItSays) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  const std::string version = linux_said("version");
  EXPECT_EQ(text_at(kernel(), gva("banner"), version.size()), version);
}

TEST_F(XenPvTest, TheTextOfItsProcessIsWhereItSays) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  // "0xADDRESS: TEXT"
  const std::string said = linux_said("text at");
  const std::string text = said.substr(said.find(": ") + 2);
  ASSERT_GT(text.size(), 10U);
  ASSERT_TRUE(reach_process(gva("text at")));
  ASSERT_TRUE(vm().pause());
  EXPECT_EQ(text_at(process(), gva("text at"), text.size()), text);
  ASSERT_TRUE(vm().resume());
}

TEST_F(XenPvTest, ItsCounterStandsStillWhileItIsPaused) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  ASSERT_TRUE(reach_process(gva("counter at")));
  ASSERT_TRUE(vm().pause());
  EXPECT_TRUE(domain().paused());
  const auto place = vm().translate(process(), gva("counter at"));
  ASSERT_TRUE(place) << to_text(place.error());
  const auto count = [&] { return memory().read_value<std::uint64_t>(place->gpa).value_or(0); };
  const std::uint64_t still = count();
  EXPECT_GT(still, 0U);
  EXPECT_EQ(count(), still);
  ASSERT_TRUE(vm().resume());
  EXPECT_FALSE(domain().paused());
  std::uint64_t later = still;
  for (int i = 0; i < 1000 && later == still; ++i) later = count();
  EXPECT_GT(later, still);
}

TEST_F(XenPvTest, AWriteToItsMemoryIsSeenByXensOwnLibrary) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  const Gva at = gva("text at") + 0xf00;  // behind the text, in its page
  ASSERT_TRUE(reach_process(at));
  ASSERT_TRUE(vm().pause());
  const auto place = vm().translate(process(), at);
  ASSERT_TRUE(place) << to_text(place.error());
  const std::uint64_t value = 0x1122334455667788;
  const auto done = memory().write_value(place->gpa, value);
  EXPECT_TRUE(done) << to_text(done.error());
  ASSERT_TRUE(vm().resume());
  const auto real = domain().bare().read(to_integer(place->gpa), sizeof value);
  ASSERT_TRUE(real) << real.error();
  EXPECT_EQ(std::memcmp(real->data(), &value, sizeof value), 0);
}

TEST_F(XenPvTest, HasNoEvents) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  const auto asked = vm().intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3});
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, Errc::not_supported);
}

}  // namespace
}  // namespace microvmi::test::xen
