// SPDX-License-Identifier: Apache-2.0
// ELF cores that are cut off, wrong or made to do harm.
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::ElfImage;
using test::pattern;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kPage;
constexpr std::uint64_t kData = 64 << 10;  // where ElfImage puts the first bytes

class BrokenElfTest : public test::ImageTest {
 protected:
  static ElfImage good() { return ElfImage().add(0, pattern(kPage)); }

  void write_first(std::size_t size, const ElfImage& image) {
    auto bytes = image.bytes();
    bytes.resize(size);
    test::write_file(file_, bytes);
  }
};

TEST_F(BrokenElfTest, WhatIsCutOffInItsHeadersIsRefused) {
  for (const std::size_t size : {4U, 15U, 16U, 63U}) {
    write_first(size, good());
    EXPECT_THAT(refusal().message, HasSubstr("is cut off before its ELF header")) << size;
  }
  write_first(64 + 55, good());
  EXPECT_THAT(refusal().message, HasSubstr("is cut off before its program headers (119 bytes"));
  EXPECT_EQ(refusal().code, Errc::io);
}

TEST_F(BrokenElfTest, WhatIsCutOffInItsMemoryOpensAndSaysWhatIsMissing) {
  const auto low = pattern(4 * kPage, 1);
  const ElfImage image = ElfImage().add(0x1000, low).add(0x100000, pattern(2 * kPage, 2));
  write_first(kData + 2 * kPage + 100, image);
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_TRUE(value<bool>(*vm, "truncated"));
  EXPECT_EQ(value<std::uint64_t>(*vm, "missing_bytes"), 4 * kPage - 100);
  EXPECT_EQ(value<std::uint64_t>(*vm, "first_missing"), 0x3064U);
  EXPECT_THAT(log_, HasSubstr("is cut off: 16284 bytes of memory from 0x3064 on are not in it"));
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x1000}, 2 * kPage}));
  EXPECT_EQ(read(*vm, 0x1000, 2 * kPage + 100), test::slice(low, 0, 2 * kPage + 100));
  std::vector<std::byte> into(kPage);
  const ReadRequest lost = read_one(*vm, 0x3000, into);
  EXPECT_EQ(lost.status, Errc::io) << "there was memory once: no hole";
  EXPECT_EQ(lost.failed_at, Gpa{0x3064});
  EXPECT_EQ(read_one(*vm, 0x101000, into).status, Errc::io);
  EXPECT_EQ(read_one(*vm, 0x102000, into).status, Errc::hole);
}

TEST_F(BrokenElfTest, AnotherSegmentMayHaveWhatIsMissing) {
  ElfImage image;
  const auto bytes = pattern(kPage);
  image.segments.push_back({.paddr = 0, .filesz = 2 * kPage, .offset = 1ULL << 40});
  image.add(kPage, bytes);
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_EQ(read(*vm, kPage, kPage), bytes);
  std::vector<std::byte> into(1);
  EXPECT_EQ(read_one(*vm, 0, into).status, Errc::io);
}

TEST_F(BrokenElfTest, WithNoMemoryLeftItIsRefused) {
  write_first(kData, good());
  EXPECT_THAT(refusal().message, HasSubstr("is cut off before its first memory"));
  ElfImage empty;
  empty.segments.push_back({.paddr = 0, .filesz = 0, .offset = 0, .memsz = kPage});
  EXPECT_THAT(refusal(empty).message, HasSubstr("has no memory in it"));
}

TEST_F(BrokenElfTest, OtherKindsOfElfAreNamed) {
  ElfImage program = good();
  program.type = 2;
  EXPECT_THAT(refusal(program).message, HasSubstr("its e_type is 2, a core has 4"));
  ElfImage xen;
  xen.machine = 62;
  EXPECT_THAT(refusal(xen).message, HasSubstr("has no program headers"));
  EXPECT_EQ(refusal(xen).code, Errc::not_supported);
  for (const unsigned bits : {32U, 64U}) {
    ElfImage big = good();
    big.bits = bits;
    big.big_endian = true;
    EXPECT_THAT(refusal(big).message, HasSubstr("is a big-endian ELF core"));
  }
}

TEST_F(BrokenElfTest, TheCoreOfAProgramIsNoGuest) {
  ElfImage image;
  image.add_note("CORE", 1, "prstatus").add_note("CORE", 6, "auxv").add(0, pattern(kPage));
  image.segments.back().vaddr = 0x400000;
  EXPECT_THAT(refusal(image).message, HasSubstr("is the core of a program"));
}

TEST_F(BrokenElfTest, BytesThatNoElfHasAreNamed) {
  auto bytes = good().bytes();
  bytes[4] = std::byte{9};
  test::write_file(file_, bytes);
  EXPECT_THAT(refusal().message, HasSubstr("its class is 9"));
  bytes[5] = std::byte{0};
  test::write_file(file_, bytes);
  EXPECT_THAT(refusal().message, HasSubstr("its byte order is 0"));
}

TEST_F(BrokenElfTest, NumbersThatLie) {
  ElfImage sized = good();
  sized.phentsize = 55;
  EXPECT_THAT(refusal(sized).message, HasSubstr("its e_phentsize is 55, it must be 56"));
  auto bytes = good().bytes();
  for (std::size_t i = 32; i < 40; ++i) bytes[i] = std::byte{0xFF};  // e_phoff
  test::write_file(file_, bytes);
  EXPECT_THAT(refusal().message, HasSubstr("is cut off before its program headers"));
  ElfImage many = good();
  many.phnum = 0xFFFE;
  EXPECT_THAT(refusal(many).message, HasSubstr("is cut off before its program headers"));
  many.phnum = 0xFFFF;
  EXPECT_THAT(refusal(many).message, HasSubstr("0xffff without section headers"));
  many.shoff = kData / 2;
  many.sh_info = 0xFFFFFFFF;
  EXPECT_THAT(refusal(many).message, HasSubstr("has 4294967295 segments"));
  ElfImage lost = good();
  lost.phnum = 0xFFFF;
  bytes = lost.bytes();
  bytes[47] = std::byte{0x7F};  // e_shoff
  test::write_file(file_, bytes);
  EXPECT_THAT(refusal().message, HasSubstr("is cut off before its section headers"));
}

TEST_F(BrokenElfTest, ASegmentPastTheLastAddressIsNonsense) {
  for (const std::uint64_t size : {kPage, ~std::uint64_t{0}}) {
    ElfImage image = good();
    image.segments.push_back({.paddr = ~0ULL - kPage + 1, .filesz = size, .offset = kData});
    EXPECT_EQ(refusal(image).code, Errc::protocol);
    EXPECT_THAT(refusal(image).message, HasSubstr("goes past the last address"));
  }
  ElfImage offset = good();
  offset.segments.push_back({.paddr = 0, .filesz = kPage, .offset = ~0ULL});
  EXPECT_EQ(refusal(offset).code, Errc::protocol);
}

TEST_F(BrokenElfTest, AnAbsurdSegmentNeitherHidesNorInventsMemory) {
  ElfImage image;
  image.segments.push_back({.paddr = 0, .filesz = 1ULL << 62, .offset = kData});
  const auto bytes = pattern(kPage);
  image.put(kData, bytes);
  const auto vm = open(image);
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->end_of_memory(), Gpa{kPage});
  EXPECT_EQ(read(*vm, 0, kPage), bytes);
  EXPECT_EQ(value<std::uint64_t>(*vm, "missing_bytes"), (1ULL << 62) - kPage);
}

TEST_F(BrokenElfTest, NotesThatLieArePassedOver) {
  ElfImage image = good();
  std::vector<std::byte> note(64, std::byte{0xFF});
  image.put(kData + kPage, note);
  image.segments.push_back({.filesz = 64, .offset = kData + kPage, .type = 4});
  image.segments.push_back({.filesz = ~0ULL, .offset = kData + kPage + 1, .type = 4});
  image.segments.push_back({.filesz = 64, .offset = ~0ULL - 3, .type = 4});
  image.add_note("MICROVMI", 1, "{no json").add_note("MICROVMI", 1, R"({"writer":7})");
  const auto vm = open(image);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->info().vm_name, std::nullopt);
  EXPECT_EQ(vm->info().vcpus, std::nullopt);
}

// The same table of headers that overlap as badly as they can: all open at once, each over all.
TEST_F(BrokenElfTest, ManySegmentsOverEachOtherTakeLittleTime) {
  constexpr std::uint64_t kMany = 60'000;
  ElfImage image;
  image.phoff = 128;
  image.put(8 << 20, pattern(kPage));
  for (std::uint64_t i = 0; i < kMany; ++i)
    image.segments.push_back(
        {.paddr = (kMany - i) * kPage, .filesz = 2 * i * kPage + kPage, .offset = 0});
  const auto before = std::chrono::steady_clock::now();
  const auto vm = open(image);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

}  // namespace
}  // namespace microvmi
