// SPDX-License-Identifier: Apache-2.0
// Windows crash dumps of every type that has physical memory, of both classes.
#include "support/sizes.hpp"
#include "support/windows_dump.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::slice;
using test::WindowsDump;
using testing::ElementsAre;

using test::kPage;

struct Case {
  unsigned bits;
  std::uint32_t type;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.bits << "bit" << one.type; }

class WindowsSimulatedTest : public test::ImageTest, public testing::WithParamInterface<Case> {
 protected:
  static WindowsDump dump() {
    WindowsDump out{.bits = GetParam().bits, .type = GetParam().type};
    out.runs = {{1, 3}, {0x40, 61}, {0x100, 2}};
    if (out.bits == 32) {
      out.machine = 0x14C;
      out.context_flags = 0x1003F;
      out.dtb = 0x3BF2E0;
    }
    return out;
  }
};

INSTANTIATE_TEST_SUITE_P(Types, WindowsSimulatedTest,
                         testing::Values(Case{64, 1}, Case{64, 2}, Case{64, 5}, Case{64, 6},
                                         Case{64, 8}, Case{64, 9}, Case{64, 10}, Case{32, 1},
                                         Case{32, 2}, Case{32, 5}, Case{32, 6}));

TEST_P(WindowsSimulatedTest, EveryPageIsWhereItsRunSays) {
  const WindowsDump crash = dump();
  test::write_file(file_, crash.image().bytes());
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{kPage}, 3 * kPage},
                                                       MemoryRegion{Gpa{0x40000}, 61 * kPage},
                                                       MemoryRegion{Gpa{0x100000}, 2 * kPage}));
  const auto pages = crash.pages();
  EXPECT_EQ(read(*vm, kPage, 3 * kPage), slice(pages, 0, 3 * kPage));
  EXPECT_EQ(read(*vm, 0x40000, 61 * kPage), slice(pages, 3 * kPage, 61 * kPage));
  EXPECT_EQ(read(*vm, 0x100000, 2 * kPage), slice(pages, 64 * kPage, 2 * kPage));
  EXPECT_FALSE(value<bool>(*vm, "truncated"));
  EXPECT_EQ(log_.find("coredump: "), std::string::npos) << log_;
}

TEST_P(WindowsSimulatedTest, ItsFactsAndRegisters) {
  const bool wide = GetParam().bits == 64;
  test::write_file(file_, dump().image().bytes());
  auto vm = open();
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->info().vcpus, 3U);
  EXPECT_EQ(value<std::string>(*vm, "format"), wide ? "windows64" : "windows32");
  EXPECT_EQ(value<std::string>(*vm, "architecture"), wide ? "x86_64" : "i386");
  EXPECT_EQ(value<std::string>(*vm, "dtb"), wide ? "0x1ad000" : "0x3bf2e0")
      << "PAE roots are of 32";
  EXPECT_EQ(value<std::string>(*vm, "kdbg"), wide ? "0xfffff80001234000" : "0x1234000");
  EXPECT_EQ(value<std::string>(*vm, "bugcheck"), "0xd1");
  EXPECT_EQ(value<std::uint64_t>(*vm, "build"), 19041U);
  EXPECT_EQ(value<std::string>(*vm, "time"), "2024-11-22T01:03:35Z");
  EXPECT_EQ(value<std::string>(*vm, "comment"), "taken by hand");
  const auto ours = vm->read_registers(VcpuId{0});
  ASSERT_TRUE(ours) << ours.error().message;
  EXPECT_EQ((*ours)[Reg::cr3], wide ? 0x1AD002U : 0x3BF2E0U);
  EXPECT_EQ((*ours)[Reg::rip], wide ? 0xFFFFF80001000000 : 0x80501234);
  EXPECT_EQ((*ours)[Reg::rsp], wide ? 0xFFFF900000001000 : 0x8054FFFF);
  EXPECT_EQ((*ours)[Reg::rax], 0xAAAA0001U);
  EXPECT_EQ((*ours)[Reg::rflags], 0x246U);
  EXPECT_EQ((*ours)[Reg::ss], wide ? 0x18U : 0x10U);
  EXPECT_EQ((*ours)[Reg::cr4], std::nullopt);
  EXPECT_EQ((*ours)[Reg::r15].has_value(), wide);
  EXPECT_EQ((*ours)[Reg::dr7].has_value(), !wide) << "by ContextFlags";
  const auto other = vm->read_registers(VcpuId{1});
  ASSERT_TRUE(other) << to_text(other.error());
  EXPECT_TRUE(other->known().none()) << "only the vcpu that crashed is told of";
  const auto beyond = vm->read_registers(VcpuId{3});
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, Errc::not_found);
}

TEST_P(WindowsSimulatedTest, CutOffAnywhereItIsAnErrorOrSaysWhatIsMissing) {
  const WindowsDump crash = dump();
  const auto whole = crash.image().bytes();
  const std::size_t data = whole.size() - crash.pages().size();
  for (const std::size_t size :
       {std::size_t{8}, std::size_t{0x100}, crash.header() - 1, crash.header(), crash.header() + 8,
        crash.header() + 0x20, crash.header() + 0x30, data - 1, data, data + 100, data + kPage,
        data + 5 * kPage, whole.size() - 1}) {
    test::write_file(file_, slice(whole, 0, size));
    const auto vm = open();
    EXPECT_TRUE(size >= data + kPage ? vm && value<bool>(*vm, "truncated") : !vm) << size;
  }
  const auto vm = open();
  ASSERT_TRUE(vm);
  EXPECT_EQ(value<std::uint64_t>(*vm, "missing_bytes"), 1U);
  std::byte into{};
  EXPECT_EQ(read_one(*vm, 0x100000 + 2 * kPage - 1, std::span(&into, 1)).status, Errc::io);
}

}  // namespace
}  // namespace microvmi
