// SPDX-License-Identifier: Apache-2.0
// Checkpoints of VMware, written here from the description in crash's vmware_vmss.h.
#include "support/image_bytes.hpp"
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::ImageBytes;
using test::pattern;
using test::slice;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kPage;

struct Checkpoint {
  std::uint32_t magic = 0xBED2BED2;
  std::vector<std::array<std::uint64_t, 3>> regions{{0, 0, 4},
                                                    {0x100000, 4, 2}};  // frame, page, pages
  std::vector<std::byte> memory{};  // where it is in the checkpoint
  bool is_compressed = false;
  std::uint32_t vcpus = 2;
  std::uint32_t region_count = ~0U;
  std::uint32_t groups = 3;

  [[nodiscard]] ImageBytes image() const {
    ImageBytes out;
    out.le(magic, 4).le(8, 4).le(groups, 4).zeros(3 * 80);
    group(out, 0, "Checkpoint");
    value(out, "version", {}, 5, 4).le(0, 2);
    group(out, 1, "cpu");
    put_cpu(out);
    group(out, 2, "memory");
    value(out, "regionsCount", {}, region_count == ~0U ? regions.size() : region_count, 4);
    for (std::uint32_t i = 0; i < regions.size(); ++i) {
      value(out, "regionPageNum", {i}, regions[i][1], 4);
      value(out, "regionPPN", {i}, regions[i][0], 4);
      value(out, "regionSize", {i}, regions[i][2], 4);
    }
    value(out, "align_mask", {}, 0xFFFF, 4);
    if (!memory.empty()) {
      start(out, "Memory", {0}, is_compressed ? 62 : 63);
      block(out, memory.size(), 7).add(memory);
    }
    return out.le(0, 2);
  }

 private:
  static void group(ImageBytes& out, std::size_t index, std::string_view name) {
    out.place(12 + 80 * index, name).place(12 + 80 * index + 64, out.size(), 8);
  }
  static ImageBytes& start(ImageBytes& out, std::string_view name, std::vector<std::uint32_t> index,
                           unsigned size) {
    out.le(index.size() << 6 | size, 1).le(name.size(), 1).text(name);
    for (const std::uint32_t one : index) out.le(one, 4);
    return out;
  }
  static ImageBytes& value(ImageBytes& out, std::string_view name, std::vector<std::uint32_t> index,
                           std::uint64_t number, unsigned size) {
    return start(out, name, std::move(index), size).le(number, size);
  }
  ImageBytes& block(ImageBytes& out, std::uint64_t size, unsigned padding) const {
    const unsigned word = magic == 0xBED0BED0 ? 4 : 8;
    return out.le(size, word).le(size, word).le(padding, 2).zeros(padding);
  }
  void put_cpu(ImageBytes& out) const {
    value(out, "cpu:numVCPUs", {}, vcpus, 4);
    value(out, "rip", {0}, 0xFFFFFFFF81000000, 8);
    value(out, "rax", {0}, 0xA, 8);
    value(out, "rsp", {0}, 0xFFFF888000001000, 8);
    value(out, "eflags", {0}, 0x246, 4);
    value(out, "CR64", {0, 0}, 0x80050033, 8);
    value(out, "CR64", {0, 3}, 0x1AC000, 8);
    value(out, "S.base64", {0, 5}, 0xFFFF88803EC00000, 8);
    start(out, "gpregs", {1}, 63);
    block(out, 128, 3);
    for (unsigned i = 0; i < 16; ++i) out.le(0x1000 + i, 8);
    start(out, "CR64", {1}, 63);
    block(out, 72, 0);
    for (unsigned i = 0; i < 9; ++i) out.le(0x2000 + i, 8);
    start(out, "IDTR", {1}, 63);
    block(out, 10, 0).le(0xFFF, 2).le(0xFFFFFE0000000000, 8);
    value(out, "rip", {9}, 1, 8);  // of a vCPU that it does not have
    out.le(0, 2);
  }
};

class VmwareSimulatedTest : public test::ImageTest {
 protected:
  VmwareSimulatedTest() { file_ = folder_.path() / "guest.vmss"; }
  void write(const Checkpoint& checkpoint) { test::write_file(file_, checkpoint.image().bytes()); }
  void write_vmem() { test::write_file(vmem_, pages_); }

  std::filesystem::path vmem_ = folder_.path() / "guest.vmem";
  std::vector<std::byte> pages_ = pattern(6 * kPage);
};

TEST_F(VmwareSimulatedTest, TheHoleThatTheVmemSqueezesOut) {
  write({});
  write_vmem();
  const auto expected =
      ElementsAre(MemoryRegion{Gpa{0}, 4 * kPage}, MemoryRegion{Gpa{0x100000000}, 2 * kPage});
  for (const auto& file : {file_, vmem_}) {
    file_ = file;
    const auto vm = open();
    ASSERT_TRUE(vm) << vm.error().message;
    EXPECT_THAT(vm->memory().map()->regions, expected);
    EXPECT_EQ(read(*vm, 0, 4 * kPage), slice(pages_, 0, 4 * kPage));
    EXPECT_EQ(read(*vm, 0x100000000, 2 * kPage), slice(pages_, 4 * kPage, 2 * kPage));
    EXPECT_EQ(value<std::string>(*vm, "format"), "vmware");
  }
  std::filesystem::remove(folder_.path() / "guest.vmss");
  const auto alone = open();
  ASSERT_TRUE(alone);
  EXPECT_EQ(value<std::string>(*alone, "format"), "raw") << "without its checkpoint";
}

TEST_F(VmwareSimulatedTest, RegistersOfValuesAndOfBlocks) {
  write({});
  write_vmem();
  auto vm = open();
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->info().vcpus, 2U);
  const auto first = vm->read_registers(VcpuId{0});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ((*first)[Reg::rip], 0xFFFFFFFF81000000);
  EXPECT_EQ((*first)[Reg::cr0], 0x80050033U);
  EXPECT_EQ((*first)[Reg::cr3], 0x1AC000U);
  EXPECT_EQ((*first)[Reg::gs_base], 0xFFFF88803EC00000);
  EXPECT_EQ((*first)[Reg::rflags], 0x246U);
  EXPECT_FALSE((*first)[Reg::rbx]);
  const auto second = vm->read_registers(VcpuId{1});
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)[Reg::rax], 0x1000U);
  EXPECT_EQ((*second)[Reg::rbp], 0x1004U) << "RBP comes before RSP";
  EXPECT_EQ((*second)[Reg::r15], 0x100FU);
  EXPECT_EQ((*second)[Reg::cr4], 0x2004U);
  EXPECT_EQ((*second)[Reg::idt_base], 0xFFFFFE0000000000);
  EXPECT_FALSE((*second)[Reg::rip]);
}

TEST_F(VmwareSimulatedTest, MemoryWithinTheCheckpoint) {
  Checkpoint checkpoint{.memory = pages_};
  for (const std::uint32_t magic :
       {0xBED0BED0U, 0xBED2BED2U, 0xBED3BED3U, 0xBAD1BAD1U, 0xBAD2BAD2U}) {
    checkpoint.magic = magic;
    write(checkpoint);
    const auto vm = open();
    ASSERT_TRUE(vm) << std::hex << magic << ' ' << vm.error().message;
    EXPECT_EQ(read(*vm, 0x100000000, 2 * kPage), slice(pages_, 4 * kPage, 2 * kPage));
  }
  checkpoint.regions = {};
  write(checkpoint);
  const auto vm = open();
  ASSERT_TRUE(vm);
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0}, 6 * kPage}));
}

TEST_F(VmwareSimulatedTest, WhatCannotBeReadIsNamed) {
  write({});
  EXPECT_THAT(refusal().message, HasSubstr("has no memory in it"));
  EXPECT_THAT(refusal().message, HasSubstr("guest.vmem"));
  write({.memory = pages_, .is_compressed = true});
  EXPECT_THAT(refusal().message, HasSubstr("has its memory compressed"));
  EXPECT_EQ(refusal().code, Errc::not_supported);
  write({.groups = 1 << 30});
  EXPECT_EQ(refusal().code, Errc::protocol);
}

TEST_F(VmwareSimulatedTest, NumbersThatLieAreBounded) {
  write_vmem();
  write({.vcpus = 0xFFFFFFFF});
  const auto vm = open();
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->info().vcpus, std::nullopt);
  write({.region_count = 0xFFFFFFFF});
  EXPECT_TRUE(open()) << "regions of no pages are none";
  write({.regions = {{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {0, 0, 6}}});
  const auto far = open();
  ASSERT_TRUE(far);
  EXPECT_TRUE(value<bool>(*far, "truncated"));
}

TEST_F(VmwareSimulatedTest, FilesThatShrinkWhileTheyAreOpen) {
  write({});
  write_vmem();
  const auto vm = open();
  ASSERT_TRUE(vm);
  std::filesystem::resize_file(vmem_, 3 * kPage + 7);
  std::vector<std::byte> into(6 * kPage);
  const ReadRequest low = read_one(*vm, 0, std::span(into).first(4 * kPage));
  EXPECT_EQ(low.status, Errc::io);
  EXPECT_EQ(low.done, 3 * kPage + 7);
  EXPECT_EQ(read_one(*vm, 0x100000000, std::span(into).first(1)).status, Errc::io);
  write({.memory = pages_});
  std::filesystem::remove(vmem_);
  const auto one = open();
  ASSERT_TRUE(one);
  std::filesystem::resize_file(file_, 100);
  EXPECT_EQ(read_one(*one, 0, std::span(into).first(1)).status, Errc::io);
}

TEST_F(VmwareSimulatedTest, OfRegionsOverEachOtherTheFirstCounts) {
  write({.regions = {{0, 0, 4}, {2, 4, 2}}});
  write_vmem();
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0}, 4 * kPage}));
  EXPECT_EQ(read(*vm, 0, 4 * kPage), slice(pages_, 0, 4 * kPage));
}

TEST_F(VmwareSimulatedTest, CutOffAnywhere) {
  const auto whole = Checkpoint{.memory = pages_}.image().bytes();
  const std::size_t data = whole.size() - pages_.size() - 2;
  for (std::size_t size = 4; size < whole.size(); size += size < data ? 13 : kPage) {
    test::write_file(file_, slice(whole, 0, size));
    const auto vm = open();
    EXPECT_TRUE(!vm || value<bool>(*vm, "truncated") || size >= whole.size() - 2) << size;
  }
}

}  // namespace
}  // namespace microvmi
