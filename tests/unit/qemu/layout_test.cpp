// SPDX-License-Identifier: Apache-2.0
// Layouts by machine and size. The numbers are those of `info mtree -f` of QEMU 7.2 started with
// these very words and -S; layout_live_test.cpp asks the QEMU that is installed again.
#include "qemu/layout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

namespace microvmi::qemu {

void PrintTo(const Extent& one, std::ostream* out) {
  *out << std::hex << one.gpa << '+' << one.size << " block " << one.block << '@' << one.offset;
}

namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

Expected<GuestLayout> derive(Words words, const LayoutFacts& facts = {},
                             const char* program = "qemu-system-x86_64") {
  words.insert(words.begin(), program);
  const CommandLine line = parse_command_line(words);
  const auto machine = machine_of(line, program);
  if (!machine) return std::unexpected(machine.error());
  return derive_layout(line, *machine, facts);
}

TEST(Architecture, IsThatOfTheProgramElseOfTheBoard) {
  const CommandLine none = parse_command_line(Words{"qemu"});
  EXPECT_EQ(architecture_of(none, "/usr/bin/qemu-system-aarch64"), "aarch64");
  EXPECT_EQ(architecture_of(none, "qemu-system-riscv64"), "riscv");
  EXPECT_EQ(architecture_of(none, "/usr/libexec/qemu-kvm"), "x86_64");
  EXPECT_EQ(architecture_of(parse_command_line(Words{"qemu", "-M", "virt"}), "/opt/renamed"), "");
}

// [gpa, end) of `block` at `offset`
Extent range(std::uint64_t gpa, std::uint64_t end, std::uint64_t offset, std::size_t block = 0) {
  return {.gpa = gpa, .size = end - gpa, .block = block, .offset = offset};
}

constexpr std::uint64_t k4G = 4 * kGiB;

struct Case {
  Words words;
  std::vector<Extent> extents;
  const char* program = "qemu-system-x86_64";
};

class LayoutTest : public ::testing::TestWithParam<Case> {};

TEST_P(LayoutTest, IsThatOfQemu) {
  const auto layout = derive(GetParam().words, {}, GetParam().program);
  ASSERT_TRUE(layout) << layout.error().message;
  EXPECT_THAT(layout->extents, ElementsAreArray(GetParam().extents));
}

const Extent kVgaLow = range(0, 0xa0000, 0);
const Extent kLow = range(0, 0xc0000, 0);

INSTANTIATE_TEST_SUITE_P(
    I440fx, LayoutTest,
    ::testing::Values(
        Case{{"-m", "512"}, {kVgaLow, range(kMiB, 512 * kMiB, kMiB)}},
        Case{{}, {kVgaLow, range(kMiB, 128 * kMiB, kMiB)}},
        Case{{"-nodefaults"}, {kLow, range(kMiB, 128 * kMiB, kMiB)}},
        Case{{"-vga", "none"}, {kLow, range(kMiB, 128 * kMiB, kMiB)}},
        Case{{"-nodefaults", "-device", "cirrus-vga"}, {kVgaLow, range(kMiB, 128 * kMiB, kMiB)}},
        Case{{"-M", "pc", "-m", "3583M"}, {kVgaLow, range(kMiB, 3583 * kMiB, kMiB)}},
        Case{{"-M", "pc", "-m", "3584M"},
             {kVgaLow, range(kMiB, 0xc0000000, kMiB), range(k4G, k4G + 512 * kMiB, 0xc0000000)}},
        Case{{"-M", "pc-i440fx-7.2", "-m", "5G"},
             {kVgaLow, range(kMiB, 0xc0000000, kMiB), range(k4G, 6 * kGiB, 0xc0000000)}},
        Case{{"-M", "pc-i440fx-1.7", "-m", "5G"},
             {kVgaLow, range(kMiB, 0xe0000000, kMiB), range(k4G, k4G + 1536 * kMiB, 0xe0000000)}},
        Case{{"-M", "pc,max-ram-below-4g=2G", "-m", "5G"},
             {kVgaLow, range(kMiB, 2 * kGiB, kMiB), range(k4G, 7 * kGiB, 2 * kGiB)}},
        Case{{"-M", "pc,max-ram-below-4g=1G", "-m", "5G"},
             {kVgaLow, range(kMiB, kGiB, kMiB), range(k4G, 8 * kGiB, kGiB)}},
        Case{{"-M", "pc,max-ram-below-4g=3.75G", "-m", "5G"},
             {kVgaLow, range(kMiB, 0xc0000000, kMiB), range(k4G, 6 * kGiB, 0xc0000000)}},
        Case{{"-M", "pc,max-ram-below-4g=4G", "-m", "3968M"},
             {kVgaLow, range(kMiB, 0xf8000000, kMiB)}},
        Case{{"-nodefaults", "-m", "1000001B"}, {range(0, 0xc0000, 0)}},
        Case{{"-nodefaults", "-m", "5000000B"}, {kLow, range(kMiB, 0x4c6000, kMiB)}}));

INSTANTIATE_TEST_SUITE_P(
    Q35, LayoutTest,
    ::testing::Values(
        Case{{"-M", "q35", "-m", "2815M"}, {kVgaLow, range(kMiB, 2815 * kMiB, kMiB)}},
        Case{{"-M", "q35", "-m", "2816M"},
             {kVgaLow, range(kMiB, 2 * kGiB, kMiB), range(k4G, k4G + 768 * kMiB, 2 * kGiB)}},
        Case{{"-M", "pc-q35-6.1", "-m", "5G"},
             {kVgaLow, range(kMiB, 2 * kGiB, kMiB), range(k4G, 7 * kGiB, 2 * kGiB)}},
        Case{{"-M", "q35,max-ram-below-4g=1G", "-m", "5G"},
             {kVgaLow, range(kMiB, kGiB, kMiB), range(k4G, 8 * kGiB, kGiB)}},
        Case{{"-M", "q35,max-ram-below-4g=3G", "-m", "5G"},
             {kVgaLow, range(kMiB, 2 * kGiB, kMiB), range(k4G, 7 * kGiB, 2 * kGiB)}},
        Case{{"-M", "q35,max-ram-below-4g=1500M", "-m", "3G"},
             {kVgaLow, range(kMiB, 0x5dc00000, kMiB), range(k4G, 0x162400000, 0x5dc00000)}}));

INSTANTIATE_TEST_SUITE_P(
    Others, LayoutTest,
    ::testing::Values(
        Case{{"-M", "isapc", "-m", "4G", "-nodefaults"},
             {kLow, range(kMiB, 0xe0000000, kMiB), range(k4G, k4G + 512 * kMiB, 0xe0000000)}},
        Case{{"-M", "isapc", "-m", "16"}, {kVgaLow, range(kMiB, 16 * kMiB, kMiB)}},
        Case{{"-M", "microvm", "-m", "512"}, {range(0, 0xf0000, 0), range(kMiB, 512 * kMiB, kMiB)}},
        Case{{"-M", "microvm", "-m", "4G"},
             {range(0, 0xf0000, 0), range(kMiB, 0xc0000000, kMiB),
              range(k4G, 5 * kGiB, 0xc0000000)}},
        Case{{"-M", "virt", "-m", "1G"}, {range(kGiB, 2 * kGiB, 0)}, "qemu-system-aarch64"},
        Case{{"-M", "virt-7.2", "-m", "5G"}, {range(kGiB, 6 * kGiB, 0)}, "qemu-system-aarch64"},
        Case{{"-M", "virt", "-m", "1G"}, {range(2 * kGiB, 3 * kGiB, 0)}, "qemu-system-riscv64"}));

const Words kTwoNodes{"-M",      "pc",
                      "-m",      "4G",
                      "-object", "memory-backend-ram,id=n0,size=1G",
                      "-object", "memory-backend-ram,id=n1,size=3G",
                      "-numa",   "node,memdev=n0",
                      "-numa",   "node,memdev=n1"};
const Words kDimms{"-m",      "1G,slots=4,maxmem=8G",
                   "-object", "memory-backend-ram,id=d0,size=256M",
                   "-device", "pc-dimm,memdev=d0",
                   "-object", "memory-backend-ram,id=d1,size=512M",
                   "-device", "pc-dimm,memdev=d1,addr=0x140000000",
                   "-object", "memory-backend-memfd,id=d2,size=128M",
                   "-device", R"({"driver":"pc-dimm","memdev":"d2"})"};

INSTANTIATE_TEST_SUITE_P(
    Backends, LayoutTest,
    ::testing::Values(
        Case{kTwoNodes,
             {kVgaLow, range(kMiB, kGiB, kMiB), range(kGiB, 3 * kGiB, 0, 1),
              range(k4G, 5 * kGiB, 2 * kGiB, 1)}},
        Case{{"-M", "q35,memory-backend=r", "-object", "memory-backend-ram,id=r,size=1G"},
             {kVgaLow, range(kMiB, kGiB, kMiB)}},
        Case{kDimms,
             {kVgaLow, range(kMiB, kGiB, kMiB), range(k4G, 0x110000000, 0, 1),
              range(0x110000000, 0x118000000, 0, 3), range(0x140000000, 0x160000000, 0, 2)}},
        Case{{"-M", "pc,nvdimm=on", "-m", "1G,slots=4,maxmem=8G", "-object",
              "memory-backend-ram,id=d0,size=256M", "-device", "nvdimm,memdev=d0,label-size=128K"},
             {kVgaLow, range(kMiB, kGiB, kMiB), range(k4G, 0x10fe00000, 0, 1)}}));

// Where the high part begins.
std::uint64_t high(const Words& words, const LayoutFacts& facts = {}) {
  const auto layout = derive(words, facts);
  return layout ? layout->extents.back().gpa : 0;
}

TEST(AmdRuleTest, OneTebibyte) {
  EXPECT_EQ(high({"-M", "pc-i440fx-7.1", "-cpu", "EPYC", "-m", "1009G"}), k4G);
  EXPECT_EQ(high({"-M", "pc-i440fx-7.1", "-cpu", "EPYC", "-m", "1010G"}), kTiB);
  EXPECT_EQ(high({"-M", "pc-i440fx-7.2", "-cpu", "EPYC-Milan", "-m", "1030G"}), kTiB);
  EXPECT_EQ(high({"-M", "pc-q35-7.2", "-cpu", "EPYC", "-m", "1030G"}), kTiB);
  EXPECT_EQ(high({"-M", "pc-q35-7.2", "-cpu", "EPYC", "-m", "978G"}), k4G);
  EXPECT_EQ(high({"-M", "pc-q35-7.2", "-cpu", "EPYC", "-m", "979G"}), kTiB);
  EXPECT_EQ(high({"-M", "pc-i440fx-7.0", "-cpu", "EPYC", "-m", "1030G"}), k4G);
  EXPECT_EQ(high({"-M", "pc-i440fx-7.2", "-cpu", "Skylake-Server", "-m", "1030G"}), k4G);
  EXPECT_EQ(high({"-M", "pc-i440fx-7.2", "-m", "1030G"}), kTiB) << "qemu64 is an AMD processor";
}

TEST(AmdRuleTest, UnderKvmTheHostsVendorCounts) {
  const Words words{"-M", "pc-i440fx-7.2", "-cpu", "Skylake-Server", "-m", "1030G"};
  EXPECT_EQ(high(words, {.kvm = true, .host_is_amd = true}), kTiB);
  EXPECT_EQ(high(words, {.kvm = true, .host_is_amd = false}), k4G);
  const Words vendor{"-M", "pc-i440fx-7.2", "-cpu", "host,vendor=GenuineIntel", "-m", "1030G"};
  EXPECT_EQ(high(vendor, {.kvm = true, .host_is_amd = true}), k4G);
}

TEST(AmdRuleTest, AnUnknownVersionIsNoGuess) {
  const Words words{"-M", "pc", "-cpu", "EPYC", "-m", "1030G"};
  const auto layout = derive(words);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code, Errc::not_supported);
  EXPECT_EQ(high(words, {.qemu_version = MachineVersion{7, 2}}), kTiB);
  EXPECT_EQ(high(words, {.qemu_version = MachineVersion{6, 2}}), k4G);
  EXPECT_EQ(high({"-M", "pc", "-cpu", "EPYC", "-m", "900G"}), k4G);
}

TEST(LayoutRefusalTest, ADeviceOfWhichNothingIsLeftBesideItsLabel) {
  const auto layout =
      derive({"-M", "pc,nvdimm=on", "-m", "1G,slots=4,maxmem=8G", "-object",
              "memory-backend-ram,id=d,size=268456", "-device", "nvdimm,memdev=d,label-size=128K"});
  ASSERT_FALSE(layout);
  EXPECT_THAT(layout.error().message, HasSubstr("nvdimm"));
}

TEST(LayoutRefusalTest, MoreMemoryDevicesThanQemuCanHave) {
  Words words{"-M", "pc", "-m", "1G", "-object", "memory-backend-ram,id=d,size=2M"};
  const auto add = [&words](int count) {
    for (int i = 0; i < count; ++i)
      words.insert(words.end(), {"-device", "virtio-mem-pci,memdev=d"});
  };
  add(256);
  EXPECT_TRUE(derive(words));
  add(1);
  const auto layout = derive(words);
  ASSERT_FALSE(layout);
  EXPECT_THAT(layout.error().message, HasSubstr("more memory devices"));
}

TEST(LayoutRefusalTest, NothingIsGuessed) {
  const auto why = [](const Words& words, const char* program = "qemu-system-x86_64") {
    const auto layout = derive(words, {}, program);
    return layout ? std::string("none") : layout.error().message;
  };
  EXPECT_THAT(why({"-M", "none"}), HasSubstr("machine \"none\""));
  EXPECT_THAT(why({"-M", "virt"}), HasSubstr("machine \"virt\""));
  EXPECT_THAT(why({"-M", "virt"}, "qemu-system-m68k"), HasSubstr("machine \"virt\""));
  EXPECT_THAT(why({}, "qemu-system-aarch64"), HasSubstr("machine \"\""));
  EXPECT_THAT(why({"-m", "lots"}), HasSubstr("lots"));
  EXPECT_THAT(why({"-readconfig", "vm.cfg"}), HasSubstr("-readconfig vm.cfg"));
  EXPECT_THAT(why({"-M", "q35,memory-backend=gone"}), HasSubstr("gone"));
  EXPECT_THAT(why({"-object", "sev-guest,id=s"}), HasSubstr("encrypted (sev-guest)"));
  EXPECT_THAT(why({"-m", "16E"}), HasSubstr("-m"));
  EXPECT_THAT(why({"-M", "pc,max-ram-below-4g=much"}), HasSubstr("much"));
  EXPECT_THAT(why({"-M", "isapc", "-device", "pc-dimm,memdev=nowhere"}), HasSubstr("nowhere"));
}

TEST(LayoutNoteTest, MemoryThatCanBePluggedInMakesItInexact) {
  EXPECT_FALSE(derive(kDimms)->exact);
  EXPECT_FALSE(derive({"-m", "1G,slots=4,maxmem=8G"})->exact);
  EXPECT_TRUE(derive({"-m", "1G"})->exact);
}

TEST(LayoutShadowTest, FirmwareThatRunsFromRamIsRom) {
  const auto layout = derive({"-m", "512"}, {.bios_shadowed = true});
  ASSERT_TRUE(layout);
  ASSERT_EQ(layout->extents.size(), 3U);
  EXPECT_EQ(layout->extents[1], (Extent{0xc0000, 0x40000, 0, 0xc0000, MemoryRegion::Kind::rom}));
}

}  // namespace
}  // namespace microvmi::qemu
