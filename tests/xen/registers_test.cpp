// SPDX-License-Identifier: Apache-2.0
// Registers against what the guest says, and what Xen's own xenctx and xen-hvmctx print.
#include <regex>

#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

std::uint64_t hex(const std::string& digits) { return std::stoull(digits, nullptr, 16); }

// "NAME: VALUE" of xenctx.
std::map<std::string, std::uint64_t> xenctx(const Domain& domain) {
  std::map<std::string, std::uint64_t> found;
  const std::string text = shell("xenctx -a " + std::to_string(domain.id()) + " 0").output;
  const std::regex pair(R"((\w+): ([0-9a-f]{4,16})\b)");
  for (auto at = std::sregex_iterator(text.begin(), text.end(), pair); at != std::sregex_iterator();
       ++at)
    found[(*at)[1]] = hex((*at)[2]);
  if (found.contains("flags")) found["rflags"] = found["flags"];
  return found;
}

class XenRegistersTest : public XenBothTest {};

TEST_P(XenRegistersTest, AreWhatTheGuestSays) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(vm().pause());
  const auto registers = vm().read_registers(VcpuId{0});
  ASSERT_TRUE(registers) << to_text(registers.error());
  std::size_t compared = 0;
  for (const RegisterInfo& info : kRegisters) {
    const auto said = domain().said().find(info.name);
    if (said == domain().said().end()) continue;
    EXPECT_EQ((*registers)[info.reg], said->second) << info.name;
    ++compared;
  }
  EXPECT_GE(compared, 30U);
  EXPECT_THAT((*registers)[Reg::cr3],
              testing::AnyOf(domain().said("pml4a"), domain().said("pml4b")));
  EXPECT_EQ((*registers)[Reg::cr0].value_or(0) & ~2ULL, domain().said("cr0_without_mp"));
  EXPECT_EQ((*registers)[Reg::cr4].value_or(0) & ~4ULL, domain().said("cr4_without_tsd"));
  EXPECT_GE((*registers)[Reg::rip].value_or(0), domain().said("text_start"));
  EXPECT_LE((*registers)[Reg::rip].value_or(0), domain().said("counters"));
  const Counters counters = domain().counters();
  EXPECT_THAT((*registers)[Reg::sysenter_eip], testing::AnyOf(counters.ticks, counters.ticks - 1));
  ASSERT_TRUE(vm().resume());
}

TEST_P(XenRegistersTest, AreWhatXenctxPrints) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(vm().pause());
  const auto registers = vm().read_registers(VcpuId{0});
  ASSERT_TRUE(registers) << to_text(registers.error());
  const auto printed = xenctx(domain());
  for (const char* name : {"rip", "rflags", "rsp", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp",
                           "r8", "r15", "cs", "ss", "cr0", "cr3", "cr4", "dr6", "dr7"}) {
    ASSERT_TRUE(printed.contains(name)) << name;
    EXPECT_EQ((*registers)[find_register(name)->reg], printed.at(name)) << name;
  }
  ASSERT_TRUE(vm().resume());
}

TEST_P(XenRegistersTest, OfARunningGuestDoNotStopIt) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const auto registers = vm().read_registers(VcpuId{0});
  ASSERT_TRUE(registers) << to_text(registers.error());
  EXPECT_EQ((*registers)[Reg::r13], 0x1313131313131313U);
  EXPECT_FALSE(domain().paused());
  EXPECT_TRUE(alive());
}

TEST_P(XenRegistersTest, AWrittenOneIsTheGuestsFromThenOn) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(vm().pause());
  Registers wanted;
  wanted.set(Reg::r12, 0x0123456789abcdef);
  wanted.set(Reg::lstar, 0x00000000000abc00);
  const auto written = vm().write_registers(VcpuId{0}, wanted);
  ASSERT_TRUE(written) << to_text(written.error());
  ASSERT_TRUE(vm().resume());
  EXPECT_TRUE(alive());
  ASSERT_TRUE(vm().pause());
  EXPECT_EQ(xenctx(domain())["r12"], 0x0123456789abcdefU);
  EXPECT_EQ((*vm().read_registers(VcpuId{0}))[Reg::lstar], 0xabc00U);
  wanted.set(Reg::r12, domain().said("r12"));
  wanted.set(Reg::lstar, domain().said("lstar"));
  EXPECT_TRUE(vm().write_registers(VcpuId{0}, wanted));
  ASSERT_TRUE(vm().resume());
  EXPECT_TRUE(alive());
}

TEST_P(XenRegistersTest, TranslateThroughThemIsWhatTheGuestBuilt) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const auto space = vm().address_space(VcpuId{0});
  ASSERT_TRUE(space) << to_text(space.error());
  const auto mapped = vm().translate(*space, Gva{domain().said("mapped_va")} + 0x123);
  ASSERT_TRUE(mapped) << to_text(mapped.error());
  EXPECT_EQ(mapped->gpa, Gpa{domain().said("mapped_pa") + 0x123});
  EXPECT_EQ(mapped->page_size, kPageSize);
  const auto unmapped = vm().translate(*space, Gva{domain().said("unmapped_va")});
  ASSERT_FALSE(unmapped);
  EXPECT_EQ(unmapped.error().code, Errc::hole);
}

INSTANTIATE_TEST_SUITE_P(Xen, XenRegistersTest, testing::Values(kTiny, kHvm),
                         [](const auto& name) { return std::string(name.param); });

using RegSet = Registers::Mask;

RegSet all_but(std::initializer_list<Reg> others) {
  RegSet set;
  set.set();
  for (const Reg reg : others) set.reset(static_cast<std::size_t>(reg));
  return set;
}

RegSet only(std::initializer_list<Reg> these) {
  RegSet set;
  for (const Reg reg : these) set.set(static_cast<std::size_t>(reg));
  return set;
}

// As docs/explanation/xen.md has it.
TEST_P(XenRegistersTest, WhichAreKnown) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const auto registers = vm().read_registers(VcpuId{0});
  ASSERT_TRUE(registers) << to_text(registers.error());
  // The machine has no XSAVE; README.md says why.
  EXPECT_EQ(registers->known(), all_but({Reg::cr8, Reg::pat, Reg::xcr0}));
  Registers wanted;
  wanted.set(Reg::cr8, 1);
  const auto refused = vm().write_registers(VcpuId{0}, wanted);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_supported);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("cr8"));
  EXPECT_TRUE(alive());
}

class XenVcpuTest : public XenTest {};

TEST_F(XenVcpuTest, WhichAreKnownOfAPvGuest) {
  using enum Reg;
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  const auto registers = vm().read_registers(VcpuId{0});
  ASSERT_TRUE(registers) << to_text(registers.error());
  EXPECT_EQ(registers->known(),
            only({rax, rbx, rcx, rdx, rsi, rdi, rsp,           rbp,    r8,      r9,
                  r10, r11, r12, r13, r14, r15, rip,           rflags, cs,      ds,
                  es,  fs,  gs,  ss,  cr0, cr3, cr4,           efer,   fs_base, gs_base,
                  dr0, dr1, dr2, dr3, dr6, dr7, kernel_gs_base}));
  Registers wanted;
  wanted.set(gdt_base, 1);
  const auto refused = vm().write_registers(VcpuId{0}, wanted);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_supported);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("gdt_base"));
  EXPECT_EQ(vm().info().vcpus, 1U);
}

TEST_F(XenVcpuTest, ThoseThatAreThereAndTheOneThatIsOnline) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  EXPECT_EQ(vm().info().vcpus, 2U);
  EXPECT_TRUE(vm().read_registers(VcpuId{0}));
  const auto beyond = vm().read_registers(VcpuId{2});
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, Errc::not_found);
}

TEST_F(XenVcpuTest, OfAPvGuestAreWhatXenctxPrints) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  ASSERT_TRUE(vm().pause());
  const auto registers = vm().read_registers(VcpuId{0});
  ASSERT_TRUE(registers) << to_text(registers.error());
  const auto printed = xenctx(domain());
  for (const char* name : {"rip", "rflags", "rsp", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp",
                           "r8", "r15", "cs", "ss"}) {
    ASSERT_TRUE(printed.contains(name)) << name;
    EXPECT_EQ((*registers)[find_register(name)->reg], printed.at(name)) << name;
  }
  EXPECT_FALSE(registers->known().all()) << "a PV guest has no descriptor registers to tell";
  ASSERT_TRUE(vm().resume());
}

}  // namespace
}  // namespace microvmi::test::xen
