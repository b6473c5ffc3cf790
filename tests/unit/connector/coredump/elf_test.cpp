// SPDX-License-Identifier: Apache-2.0
// ELF cores that are good, in all the odd forms they come in.
#include "support/sizes.hpp"
#include "support/windows_dump.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::ElfImage;
using test::pattern;
using test::slice;
using testing::ElementsAre;
using Kind = MemoryRegion::Kind;

using test::kPage;

constexpr const char* kKernelFact =
    "OSRELEASE=6.1.0-9-amd64\nPAGESIZE=4096\nKERNELOFFSET=1ac00000\n"
    "SYMBOL(_stext)=ffffffff9bc00000\nNUMBER(phys_base)=-1";

class ElfImageTest : public test::ImageTest {};

TEST_F(ElfImageTest, TheHeadersOfQemu) {
  ElfImage image = ElfImage::like_qemu();
  const auto low = pattern(8 * kPage, 1);
  const auto bios = pattern(64 * kPage, 2);
  const auto high = pattern(2 * kPage, 3);
  image.add_note("CORE", 1, "prstatus").add_note("QEMU", 0, std::string(440, 'q'));
  image.add_note("QEMU", 0, std::string(440, 'q')).add_note("VMCOREINFO", 0, kKernelFact);
  image.add(0, low, 0x490).add(0xFFFC0000, bios).add(0x100000000, high);
  auto vm = open(image);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions,
              ElementsAre(MemoryRegion{Gpa{0}, 8 * kPage},
                          MemoryRegion{Gpa{0xFFFC0000}, 64 * kPage, Kind::rom},
                          MemoryRegion{Gpa{0x100000000}, 2 * kPage}));
  EXPECT_EQ(read(*vm, 0, low.size()), low) << "its data begins at no page of the file";
  EXPECT_EQ(read(*vm, 0xFFFC0000, bios.size()), bios);
  EXPECT_EQ(read(*vm, 0x100000001, 100), slice(high, 1, 100));
  EXPECT_EQ(vm->end_of_memory(), Gpa{0x100000000 + 2 * kPage});
  EXPECT_EQ(vm->info().vcpus, 2U);
  EXPECT_EQ(vm->info().connector, "coredump");
  EXPECT_EQ(value<std::string>(*vm, "writer"), "qemu");
  EXPECT_EQ(value<std::string>(*vm, "format"), "elf64");
  EXPECT_EQ(value<std::string>(*vm, "architecture"), "x86_64");
  EXPECT_EQ(value<std::uint64_t>(*vm, "segments"), 3U);
  EXPECT_EQ(value<std::uint64_t>(*vm, "file_size"), std::filesystem::file_size(file_));
  EXPECT_FALSE(value<bool>(*vm, "truncated"));
  EXPECT_FALSE(fact(*vm, "bytes_in_parts_of_pages"));
  EXPECT_TRUE(value<bool>(*vm, "vmcoreinfo"));
  EXPECT_EQ(vm->info().vmcoreinfo, kKernelFact);
  EXPECT_EQ(value<std::string>(*vm, "os_release"), "6.1.0-9-amd64");
  EXPECT_EQ(value<std::string>(*vm, "kernel_offset"), "0x1ac00000");
  EXPECT_EQ(value<std::string>(*vm, "kernel_base"), "0xffffffff9bc00000");
  EXPECT_EQ(value<std::string>(*vm, "phys_base"), "-1");
  EXPECT_EQ(vm->read_registers(VcpuId{0}).error().code, Errc::not_supported) << "of no version";
}

TEST_F(ElfImageTest, LessThanAPageIsNoMemoryOfAGuest) {
  const auto vm = open(ElfImage().add(0, pattern(kPage / 2)));
  ASSERT_FALSE(vm);
  EXPECT_NE(vm.error().message.find("no whole page of memory"), std::string::npos);
}

TEST_F(ElfImageTest, FirmwareIsNoEndOfMemory) {
  const auto vm = open(ElfImage().add(0, pattern(kPage)).add(0xFFFFF000, pattern(kPage)));
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->end_of_memory(), Gpa{kPage});
  ElfImage other;
  other.machine = 183;  // EM_AARCH64
  const auto arm = open(other.add(0xFFFFF000, pattern(kPage)));
  ASSERT_TRUE(arm);
  EXPECT_EQ(arm->end_of_memory(), Gpa{0x100000000}) << "that place is firmware on x86 alone";
  EXPECT_EQ(value<std::string>(*arm, "architecture"), "aarch64");
}

TEST_F(ElfImageTest, ACoreOfThe32BitClass) {
  ElfImage image;
  image.bits = 32;
  image.machine = 3;  // EM_386
  const auto bytes = pattern(2 * kPage);
  image.add_note("QEMU", 0, std::string(440, 'q')).add(0x1000, bytes, 7);
  const auto vm = open(image);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 0x1000, bytes.size()), bytes);
  EXPECT_EQ(value<std::string>(*vm, "format"), "elf32");
  EXPECT_EQ(value<std::string>(*vm, "architecture"), "i386");
  EXPECT_EQ(vm->info().vcpus, 1U);
}

class ManySegmentsTest : public test::ImageTest, public testing::WithParamInterface<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Bits, ManySegmentsTest, testing::Values(32U, 64U));

TEST_P(ManySegmentsTest, TheirNumberIsInTheFirstSectionHeader) {
  constexpr std::uint64_t kMany = 66'000;
  ElfImage image;
  image.bits = GetParam();
  image.phoff = 256;
  image.shoff = 128;
  image.phnum = 0xFFFF;
  image.sh_info = kMany;
  const auto bytes = pattern(4 * kPage);
  image.put(5 << 20, bytes);
  for (std::uint64_t i = 0; i < kMany; ++i)
    image.segments.push_back(
        {.paddr = 2 * i * kPage, .filesz = kPage, .offset = (5 << 20) + i % 4 * kPage});
  const auto vm = open(image);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->memory().map()->regions.size(), kMany);
  EXPECT_EQ(read(*vm, 2 * (kMany - 1) * kPage, kPage),
            slice(bytes, (kMany - 1) % 4 * kPage, kPage));
}

TEST_F(ElfImageTest, WhatIsNotInTheFileIsAHole) {
  ElfImage image;
  const auto bytes = pattern(2 * kPage);
  image.add(0x10000, bytes);
  image.segments[0].memsz = 4 * kPage;
  image.segments.push_back({.paddr = 0x20000, .filesz = 0, .offset = 0, .memsz = kPage});
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x10000}, 2 * kPage}));
  std::vector<std::byte> into(3 * kPage);
  const ReadRequest across = read_one(*vm, 0x10000, into);
  EXPECT_EQ(across.status, Errc::hole);
  EXPECT_EQ(across.done, 2 * kPage);
  EXPECT_EQ(across.failed_at, Gpa{0x12000});
  EXPECT_EQ(read_one(*vm, 0x20000, into).status, Errc::hole);
}

TEST_F(ElfImageTest, MoreDataThanMemoryIsCutAtTheMemory) {
  ElfImage image;
  image.add(0, pattern(3 * kPage));
  image.segments[0].memsz = kPage;
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->end_of_memory(), Gpa{kPage});
}

TEST_F(ElfImageTest, OfSeveralSegmentsTheFirstHasTheAddress) {
  const auto first = pattern(4 * kPage, 1);
  const auto second = pattern(8 * kPage, 2);
  ElfImage image;
  image.add(0x4000, first).add(0x2000, second).add(0x4000, pattern(kPage, 3));
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x2000}, 8 * kPage}));
  EXPECT_EQ(read(*vm, 0x2000, 2 * kPage), slice(second, 0, 2 * kPage));
  EXPECT_EQ(read(*vm, 0x4000, 4 * kPage), first);
  EXPECT_EQ(read(*vm, 0x8000, 2 * kPage), slice(second, 6 * kPage, 2 * kPage));
  std::vector<std::byte> all = slice(second, 0, 2 * kPage);
  all.insert(all.end(), first.begin(), first.end());
  EXPECT_EQ(read(*vm, 0x2000, 6 * kPage), all) << "across both";
}

TEST_F(ElfImageTest, SegmentsMayComeInAnyOrderAndMeetWithinAPage) {
  const auto low = pattern(0x1800, 1);
  const auto high = pattern(0x1800, 2);
  const auto vm = open(ElfImage().add(0x2800, high).add(0x1000, low));
  ASSERT_TRUE(vm);
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x1000}, 3 * kPage}));
  EXPECT_EQ(read(*vm, 0x27FF, 2), (std::vector{low.back(), high.front()}));
}

TEST_F(ElfImageTest, AnIncompletePageIsReadableButNotInTheMap) {
  const auto bytes = pattern(0x1900);
  const auto vm = open(ElfImage().add(0x1800, bytes));
  ASSERT_TRUE(vm);
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x2000}, kPage}));
  EXPECT_EQ(read(*vm, 0x1800, bytes.size()), bytes);
  EXPECT_EQ(value<std::uint64_t>(*vm, "bytes_in_parts_of_pages"), 0x900U);
  std::vector<std::byte> into(2);
  EXPECT_EQ(read_one(*vm, 0x30FF, into).failed_at, Gpa{0x3100});
  EXPECT_EQ(read_one(*vm, 0x17FF, into).status, Errc::hole);
}

TEST_F(ElfImageTest, ViewsAreOfOnePieceOfTheFileAndOutliveTheVm) {
  const auto bytes = pattern(4 * kPage);
  View view;
  {
    const auto vm = open(ElfImage().add(0x1000, bytes).add(0x5000, bytes, 1));
    ASSERT_TRUE(vm);
    EXPECT_TRUE(vm->memory().viewable());
    EXPECT_FALSE(vm->memory().writable());
    EXPECT_FALSE(vm->memory().view(Gpa{0x4000}, 2 * kPage)) << "the file goes on elsewhere";
    EXPECT_FALSE(vm->memory().view(Gpa{0}, 1));
    EXPECT_FALSE(vm->memory().view(Gpa{0x1000}, ~std::size_t{0}));
    view = vm->memory().view(Gpa{0x1001}, 3 * kPage);
  }
  ASSERT_TRUE(view);
  EXPECT_TRUE(std::ranges::equal(view.bytes(), slice(bytes, 1, 3 * kPage)));
}

TEST_F(ElfImageTest, WritingIsRefused) {
  auto vm = open(ElfImage().add(0, pattern(kPage)));
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->memory().write_value(Gpa{0}, 1).error().code, Errc::read_only);
}

TEST_F(ElfImageTest, OfVirtualboxSimulated) {
  ElfImage image;
  std::string cpu(0x230, 'v');
  image.add_note("VBCORE", 0xB00, std::string(24, 'c')).add_note("VBCPU", 0xB01, cpu);
  cpu[0x130] = 'r';  // cr3
  auto vm = open(image.add_note("VBCPU", 0xB01, cpu).add(0, pattern(kPage)));
  ASSERT_TRUE(vm);
  EXPECT_EQ(value<std::string>(*vm, "writer"), "virtualbox");
  EXPECT_EQ(vm->info().vcpus, 2U);
  EXPECT_EQ((*vm->read_registers(VcpuId{0}))[Reg::cr3], 0x7676767676767676);
  EXPECT_EQ((*vm->read_registers(VcpuId{1}))[Reg::cr3], 0x7676767676767672);
}

TEST_F(ElfImageTest, OfKdumpHasItsPrstatus) {
  ElfImage image;
  image.add_note("CORE", 1, std::string(336, 'p')).add_note("VMCOREINFO", 0, "OSRELEASE=5\n");
  auto vm = open(image.add(0x1000, pattern(kPage)));
  ASSERT_TRUE(vm);
  EXPECT_EQ(value<std::string>(*vm, "writer"), "kdump");
  EXPECT_EQ((*vm->read_registers(VcpuId{0}))[Reg::rip], 0x7070707070707070);
  EXPECT_FALSE((*vm->read_registers(VcpuId{0}))[Reg::cr3]);
}

TEST_F(ElfImageTest, OfWindowsWithTheHeaderThatItGaveToQemu) {
  const auto dump = test::WindowsDump{.runs = {{0, 1}}}.image().bytes();
  const std::string header(reinterpret_cast<const char*>(dump.data()), 0x2000);
  const auto vm = open(ElfImage().add_note("VMCOREINFO", 0, header).add(0, pattern(kPage)));
  ASSERT_TRUE(vm);
  EXPECT_EQ(value<std::string>(*vm, "os"), "windows");
  EXPECT_EQ(value<std::string>(*vm, "dtb"), "0x1ad000");
  EXPECT_EQ(value<std::string>(*vm, "kdbg"), "0xfffff80001234000");
  EXPECT_EQ(value<std::string>(*vm, "bugcheck"), "0xd1");
  EXPECT_FALSE(fact(*vm, "vmcoreinfo")) << "that is Linux's";
}

TEST_F(ElfImageTest, AnyNumberOfNotesTakesBoundedMemory) {
  ElfImage image;
  for (int i = 0; i < 3; ++i) image.add_note("QEMU", 0, "");
  image.segments.assign(1000, image.segments[0]);
  for (auto& one : image.segments) one.filesz = 60;
  auto vm = open(image.add(0, pattern(kPage)));
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->info().vcpus, 3000U);
}

TEST_F(ElfImageTest, OurOwnNoteNamesTheGuest) {
  ElfImage image;
  image.add_note("MICROVMI", 1, R"({"writer":"microvmi 9","vm_name":"win10"})")
      .add(0, pattern(kPage));
  image.segments[1].flags = 4;  // PF_R
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->info().vm_name, "win10");
  EXPECT_EQ(value<std::string>(*vm, "writer"), "microvmi 9");
  EXPECT_EQ(vm->memory().map()->regions[0].kind, Kind::rom);
}

}  // namespace
}  // namespace microvmi
