// SPDX-License-Identifier: Apache-2.0
// Migration streams written here from QEMU's description of them: all that a real one seldom has.
#include "connector/coredump/stream_ram.hpp"
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
using Kind = MemoryRegion::Kind;

using test::kMiB;
using test::kPage;
constexpr std::uint64_t kSize = 4 * kMiB;
// Flags of a page, migration/ram.c.
constexpr std::uint64_t kZero = 2, kWhole = 8, kEos = 16, kContinue = 32;

class StreamSimulatedTest : public test::ImageTest {
 protected:
  StreamSimulatedTest() {
    begin("pc-i440fx-7.2");
    page(0x1000, first_);
    page(0x2000, second_, true);
    fill(0x3000, 0);
    fill(0x4000, 0x5A);
  }

  void begin(const std::string& machine) {
    image_ = {};
    image_.text("QEVM").be(3, 4).be(7, 1).be(machine.size(), 4).text(machine);
    image_.be(1, 1).be(2, 4).be(3, 1).text("ram").be(0, 4).be(4, 4);
    image_.be((kSize + 2 * 256 * 1024) | 4, 8);
    block("pc.ram", kSize);
    block("pc.bios", 256 * 1024);
    block("0000:00:02.0/vga.rom", 256 * 1024);
    image_.be(kEos, 8).be(0x7E, 1).be(2, 4);
    image_.be(2, 1).be(2, 4);  // a part of its RAM
  }
  void block(const std::string& name, std::uint64_t size) {
    image_.be(name.size(), 1).text(name).be(size, 8);
  }
  void page(std::uint64_t at, const std::vector<std::byte>& bytes, bool same_block = false,
            const std::string& name = "pc.ram") {
    image_.be(at | kWhole | (same_block ? kContinue : 0), 8);
    if (!same_block) image_.be(name.size(), 1).text(name);
    image_.add(bytes);
  }
  void fill(std::uint64_t at, unsigned byte) { image_.be(at | kZero | kContinue, 8).be(byte, 1); }
  void end_ram() { image_.be(kEos, 8).be(0x7E, 1).be(2, 4); }
  void end() {
    end_ram();
    image_.be(0, 1);
  }

  std::expected<Vm, InitError> open_it(std::size_t size = ~std::size_t{0}) {
    test::write_file(file_, slice(image_.bytes(), 0, std::min(size, image_.size())));
    return open();
  }
  InitError refusal_of_it() {
    test::write_file(file_, image_.bytes());
    return refusal();
  }

  std::vector<std::byte> first_ = pattern(kPage, 1);
  std::vector<std::byte> second_ = pattern(kPage, 2);
  ImageBytes image_;
};

TEST_F(StreamSimulatedTest, PagesAndFilledPages) {
  end();
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{0x1000}, 4 * kPage}));
  EXPECT_EQ(read(*vm, 0x1000, kPage), first_);
  EXPECT_EQ(read(*vm, 0x2000, kPage), second_);
  EXPECT_EQ(read(*vm, 0x3000, kPage), std::vector<std::byte>(kPage));
  EXPECT_EQ(read(*vm, 0x4000, kPage), std::vector<std::byte>(kPage, std::byte{0x5A}));
  EXPECT_EQ(read(*vm, 0x2FFF, 2), (std::vector{second_.back(), std::byte{0}}));
  EXPECT_EQ(value<std::string>(*vm, "machine"), "pc-i440fx-7.2");
  EXPECT_FALSE(value<bool>(*vm, "truncated"));
  std::byte into{};
  EXPECT_EQ(read_one(*vm, 0x5000, std::span(&into, 1)).status, Errc::hole);
}

TEST_F(StreamSimulatedTest, OfAPageThatWasSentAgainTheLastCopyCounts) {
  const auto third = pattern(kPage, 3);
  end_ram();
  image_.be(3, 1).be(2, 4);  // the last part
  page(0x2000, third);
  fill(0x1000, 0);
  end();
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 0x2000, kPage), third);
  EXPECT_EQ(read(*vm, 0x1000, kPage), std::vector<std::byte>(kPage));
}

TEST_F(StreamSimulatedTest, FirmwareEndsAtFourGiB) {
  page(0x3F000, second_, false, "pc.bios");
  page(0, first_, false, "0000:00:02.0/vga.rom");
  end();
  const auto vm = open_it();
  ASSERT_TRUE(vm);
  EXPECT_EQ(read(*vm, 0xFFFFF000, kPage), second_);
  EXPECT_EQ(vm->memory().map()->regions.back(), (MemoryRegion{Gpa{0xFFFFF000}, kPage, Kind::rom}));
  EXPECT_EQ(vm->end_of_memory(), Gpa{0x5000}) << "what a device has is no memory of the guest";
}

TEST_F(StreamSimulatedTest, CutOffItSaysWhatIsMissing) {
  end();
  for (std::size_t size = 4; size < image_.size() - 1; size += 41) {
    const auto vm = open_it(size);
    EXPECT_TRUE(!vm || value<bool>(*vm, "truncated")) << size;
  }
  const auto vm = open_it(image_.size() - 100);
  ASSERT_TRUE(vm) << vm.error().message;
  std::vector<std::byte> into(kPage);
  EXPECT_EQ(read_one(*vm, 0x1000, into).status, Errc::none);
  EXPECT_EQ(read_one(*vm, 0x2000, into).status, Errc::io) << "it was RAM";
  EXPECT_EQ(read_one(*vm, kSize, into).status, Errc::hole);
}

TEST_F(StreamSimulatedTest, AFileThatShrinksWhileItIsOpen) {
  end();
  const auto vm = open_it();
  ASSERT_TRUE(vm);
  std::filesystem::resize_file(file_, 60);
  std::vector<std::byte> into(kPage);
  EXPECT_EQ(read_one(*vm, 0x1000, into).status, Errc::io);
  EXPECT_EQ(read_one(*vm, 0x2000, into).status, Errc::io);
  EXPECT_EQ(read(*vm, 0x4000, kPage), std::vector<std::byte>(kPage, std::byte{0x5A}))
      << "known since it was opened";
}

TEST_F(StreamSimulatedTest, OtherWaysToSendPagesAreRefusedByName) {
  const ImageBytes good = image_;
  const std::vector<std::pair<std::uint64_t, std::string>> cases{
      {0x40, "xbzrle"}, {0x100, "compressed pages"}, {0x200, "multifd"}, {0x80, "rdma"}};
  for (const auto& [flag, what] : cases) {
    image_ = good;
    image_.be(0x5000 | flag, 8);
    end();
    const auto error = refusal_of_it();
    EXPECT_EQ(error.code, Errc::not_supported);
    EXPECT_THAT(error.message, HasSubstr(what));
    EXPECT_THAT(error.message, HasSubstr("dump-guest-memory"));
  }
}

TEST_F(StreamSimulatedTest, WhatLiesIsRefused) {
  const ImageBytes good = image_;
  image_.be(0x5000, 8);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has a page with flags 0x0"));
  image_ = good;
  page(kSize, first_);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has page 0x400 of \"pc.ram\""));
  image_ = good;
  page(0, first_, false, "nobody");
  EXPECT_THAT(refusal_of_it().message, HasSubstr("of the unknown block \"nobody\""));
  image_ = good;
  image_.be(kEos, 8).be(0x55, 1);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("has a section of type 0x55"));
  image_ = {};
  image_.text("QEVM").be(2, 4).zeros(64);
  EXPECT_THAT(refusal_of_it().message, HasSubstr("of version 2"));
}

// Names without a letter, of which a file that is one hole has any number.
TEST_F(StreamSimulatedTest, AListWithoutAnEndIsReadUntilTheDeadline) {
  const std::string name = "configuration/capabilities";
  constexpr std::uint64_t kCount = 1 << 17;
  ImageBytes image;
  image.text("QEVM").be(3, 4).be(7, 1).be(0, 4);
  image.be(5, 1).be(name.size(), 1).text(name).be(1, 4).be(kCount, 4);
  test::write_file(file_, image.bytes());
  std::filesystem::resize_file(file_, image.size() + 2 * kCount);
  auto file = host::MappedFile::open(file_);
  ASSERT_TRUE(file);
  const CoredumpParams params{.filepath = file_};
  const InitOptions options{.wait = Wait::at_most(std::chrono::milliseconds(0))};
  const coredump_connector::Source source{
      std::make_shared<const host::MappedFile>(*std::move(file)), params, options};
  const auto ram = coredump_connector::read_stream_ram(source, 0);
  ASSERT_FALSE(ram);
  EXPECT_EQ(ram.error().code, Errc::timed_out);
}

TEST_F(StreamSimulatedTest, AMachineThatIsNotKnownIsNamed) {
  begin("s390-ccw-virtio-7.2");
  page(0, first_);
  end();
  EXPECT_THAT(refusal_of_it().message, HasSubstr("of the machine \"s390-ccw-virtio-7.2\""));
}

TEST_F(StreamSimulatedTest, HugeBlocksCostNothing) {
  const auto of_size = [this](std::uint64_t size) {
    image_ = {};
    image_.text("QEVM").be(3, 4).be(7, 1).be(12, 4).text("pc-q35-7.2.0");
    image_.be(1, 1).be(2, 4).be(3, 1).text("ram").be(0, 4).be(4, 4).be(size | 4, 8);
    block("pc.ram", size);
    image_.be(kEos, 8).be(2, 1).be(2, 4);
    page(size - kPage, first_);
    end();
    return open_it();
  };
  const auto vm = of_size(1ULL << 48);
  ASSERT_TRUE(vm) << to_text(vm.error());
  const auto map = vm->memory().map();
  ASSERT_EQ(map->regions.size(), 1U);
  EXPECT_EQ(map->regions[0].size, kPage);
  EXPECT_EQ(read(*vm, to_integer(map->regions[0].gpa), kPage), first_);
  const auto more = of_size(1ULL << 50);
  ASSERT_FALSE(more);
  EXPECT_THAT(to_text(more.error()), HasSubstr("more memory than an x86 machine can have"));
}

class LibvirtSaveSimulatedTest : public StreamSimulatedTest {
 protected:
  void wrap(std::uint32_t format, std::uint32_t version = 2) {
    const std::string xml =
        "<domain type='kvm'>\n <name>win10</name>\n <uuid>8a2f</uuid>\n</domain>";
    ImageBytes out;
    out.text("LibvirtQemudSave").le(version, 4).le(xml.size() + 1, 4).le(1, 4).le(format, 4);
    out.le(0, 4).zeros(56).text(xml).le(0, 1).add(image_.bytes());
    image_ = out;
  }
};

TEST_F(LibvirtSaveSimulatedTest, TheStreamIsBehindItsDescription) {
  end();
  wrap(0);
  const auto vm = open_it();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 0x2000, kPage), second_);
  EXPECT_EQ(vm->info().vm_name, "win10");
  EXPECT_EQ(value<std::string>(*vm, "uuid"), "8a2f");
  EXPECT_TRUE(value<bool>(*vm, "was_running"));
  EXPECT_EQ(value<std::string>(*vm, "format"), "libvirt-save");
  for (std::size_t size = 16; size < 200; size += 7) EXPECT_FALSE(open_it(size)) << size;
}

TEST_F(LibvirtSaveSimulatedTest, PackedOnesAreRefusedByName) {
  end();
  const ImageBytes plain = image_;
  for (const auto& [format, name] : std::vector<std::pair<std::uint32_t, std::string>>{
           {1, "(gzip)"}, {3, "(xz)"}, {5, "(zstd)"}}) {
    image_ = plain;
    wrap(format);
    const auto error = refusal_of_it();
    EXPECT_EQ(error.code, Errc::not_supported);
    EXPECT_THAT(error.message, HasSubstr(name));
    EXPECT_THAT(error.message, HasSubstr("save_image_format"));
  }
}

}  // namespace
}  // namespace microvmi
