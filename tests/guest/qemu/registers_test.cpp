// SPDX-License-Identifier: Apache-2.0
// Registers of live guests against what the guest printed and what QEMU's monitor says.
#include <cstdlib>
#include <regex>

#include "guest/qemu/driver.hpp"

namespace microvmi {
namespace {

using namespace test;

struct Described {
  const char* machine;
  unsigned vcpus;
};

void PrintTo(const Described& one, std::ostream* out) { *out << one.machine << one.vcpus; }

QemuOptions options_of(const Described& one) {
  return {.machine = one.machine, .memory = "64M", .args = {"-smp", std::to_string(one.vcpus)}};
}

class RegistersTest : public testing::TestWithParam<Described> {};

TEST_P(RegistersTest, OfARunningGuestAreThoseThatItPrinted) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot(options_of(GetParam()));
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_driver((*guest)->qemu());
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->info().vcpus, GetParam().vcpus);
  const auto all = vm->read_all_registers();
  ASSERT_TRUE(all) << to_text(all.error());
  ASSERT_EQ(all->size(), GetParam().vcpus);
  const Registers& first = all->front().registers;
  expect_registers(first, (*guest)->truth());
  for (const Reg reg : {Reg::rbx, Reg::r15, Reg::rip, Reg::rflags, Reg::cr0, Reg::cr3, Reg::cr4,
                        Reg::efer, Reg::fs_base, Reg::gs_base, Reg::gdt_base, Reg::idt_limit,
                        Reg::tr_base, Reg::dr0, Reg::dr7, Reg::cs_attributes})
    EXPECT_TRUE(first[reg]) << kRegisters[static_cast<std::size_t>(reg)].name;
  for (const Reg reg : {Reg::lstar, Reg::star, Reg::cr8, Reg::kernel_gs_base, Reg::pat})
    EXPECT_FALSE(first[reg]) << "the monitor does not tell "
                             << kRegisters[static_cast<std::size_t>(reg)].name;
  EXPECT_EQ((*guest)->qemu().running().value_or(false), true) << "reading stopped it";
  EXPECT_TRUE(runs(*vm, **guest));
  const auto none = vm->read_registers(VcpuId{GetParam().vcpus});
  EXPECT_EQ(none.error().code, Errc::not_found);
}

TEST_P(RegistersTest, OfAPausedGuestAreTheMonitorsAndMore) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot(options_of(GetParam()));
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_driver((*guest)->qemu());
  ASSERT_TRUE(vm) << vm.error().message;
  ASSERT_TRUE(vm->pause());
  const auto text = (*guest)->qemu().truth().human("info registers");
  ASSERT_TRUE(text) << text.error();
  const auto told = [&](const char* name) {
    std::smatch found;
    EXPECT_TRUE(std::regex_search(*text, found, std::regex(std::string(name) + " ?=([0-9a-f]+)")));
    return std::strtoull(found.str(1).c_str(), nullptr, 16);
  };
  const auto regs = vm->read_registers(VcpuId{0});
  ASSERT_TRUE(regs) << to_text(regs.error());
  expect_registers(*regs, (*guest)->truth());
  EXPECT_EQ((*regs)[Reg::rip], told("RIP"));
  EXPECT_EQ((*regs)[Reg::rax], told("RAX"));
  EXPECT_EQ((*regs)[Reg::rflags], told("RFL"));
  EXPECT_EQ((*regs)[Reg::cr3], told("CR3"));
  EXPECT_TRUE((*regs)[Reg::cr8]) << "the gdb stub tells it";
  EXPECT_TRUE((*regs)[Reg::kernel_gs_base]) << "the gdb stub tells it";
  EXPECT_FALSE((*regs)[Reg::lstar]) << "nobody tells it";
  EXPECT_GE((*regs)[Reg::rip], (*guest)->truth().loop_start);
  EXPECT_LE((*regs)[Reg::rip], (*guest)->truth().loop_end);
  EXPECT_EQ((*guest)->qemu().running().value_or(true), false);
  ASSERT_TRUE(vm->resume());
  EXPECT_TRUE(runs(*vm, **guest));
}

INSTANTIATE_TEST_SUITE_P(Machines, RegistersTest,
                         testing::Values(Described{"pc", 1}, Described{"pc", 4},
                                         Described{"q35", 1}, Described{"q35", 4}),
                         [](const auto& one) {
                           return one.param.machine + std::to_string(one.param.vcpus);
                         });

TEST(RegisterWriteTest, IsSeenByQemuAndTheGuestGoesOn) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M"});
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_driver((*guest)->qemu());
  ASSERT_TRUE(vm) << vm.error().message;
  Registers wanted;
  wanted.set(Reg::r9, 0x1122334455667788);
  wanted.set(Reg::cr2, 0xABCDE000);
  wanted.set(Reg::kernel_gs_base, 0xFFFF800000001000);
  const auto written = vm->write_registers(VcpuId{0}, wanted);
  ASSERT_TRUE(written) << to_text(written.error());
  EXPECT_TRUE(runs(*vm, **guest)) << "it ran before";
  const auto text = (*guest)->qemu().truth().human("info registers");
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, testing::HasSubstr("R9 =1122334455667788"));
  EXPECT_THAT(*text, testing::HasSubstr("CR2=00000000abcde000"));
  const auto devices = (*guest)->qemu().truth().human("info chardev");
  EXPECT_THAT(*devices, testing::Not(testing::HasSubstr("gdb: "))) << "the stub was ended";
  Registers impossible;
  impossible.set(Reg::r9, 1);
  impossible.set(Reg::lstar, 1);
  const auto refused = vm->write_registers(VcpuId{0}, impossible);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_supported);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("lstar"));
  EXPECT_EQ(vm->read_registers(VcpuId{0}).value()[Reg::r9], 0x1122334455667788U)
      << "all of them or none";
  EXPECT_EQ(vm->write_registers(VcpuId{9}, wanted).error().code, Errc::not_found);
  EXPECT_TRUE(runs(*vm, **guest));
}

}  // namespace
}  // namespace microvmi
