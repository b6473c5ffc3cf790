// SPDX-License-Identifier: Apache-2.0
// Which files are opened at all, and how their format is found.
#include <sys/stat.h>
#include <unistd.h>

#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using namespace std::string_literals;
using test::ElfImage;
using test::pattern;
using testing::HasSubstr;

class ImageOpeningTest : public test::ImageTest {
 protected:
  void write(const std::string& head, std::size_t size = 2 * kPageSize) {
    std::vector<std::byte> bytes(size);
    std::ranges::copy(std::as_bytes(std::span(head)), bytes.begin());
    test::write_file(file_, bytes);
  }
};

TEST_F(ImageOpeningTest, WhatIsNoFileIsRefusedByNameAndAtOnce) {
  const auto absent = refusal();
  EXPECT_EQ(absent.code, Errc::not_found);
  EXPECT_THAT(absent.message, HasSubstr(file_.string() + ": No such file or directory"));
  std::filesystem::create_directory(file_);
  EXPECT_THAT(refusal().message, HasSubstr("is a directory"));
  std::filesystem::remove(file_);
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_THAT(refusal().message, HasSubstr("is a FIFO"));
  std::filesystem::remove(file_);
  test::write_file(file_, {});
  EXPECT_THAT(refusal().message, HasSubstr("is empty"));
}

TEST_F(ImageOpeningTest, AFileOfSomebodyElseSaysSo) {
  ElfImage().add(0, pattern(kPageSize)).write(file_);
  std::filesystem::permissions(file_, std::filesystem::perms::none);
  constexpr uid_t kNobody = 65534;
  const bool was_root = ::geteuid() == 0;
  ASSERT_TRUE(!was_root || ::seteuid(kNobody) == 0);
  const auto error = refusal();
  ASSERT_TRUE(!was_root || ::seteuid(0) == 0);
  EXPECT_EQ(error.code, Errc::permission_denied);
  EXPECT_THAT(error.message, HasSubstr("Permission denied"));
}

TEST_F(ImageOpeningTest, OtherFormatsAreNamedWithWhatOpensThem) {
  const std::vector<std::array<std::string, 3>> cases{
      {"MDMP", "is a Windows user minidump", "WinDbg"},
      {"HIBR", "is a Windows hibernation file", "MemProcFS"},
      {"wake", "is a Windows hibernation file", "MemProcFS"},
      {"\x14\x20\x28\x01", "is a Hyper-V saved state", "MemProcFS"},
      {"HPAK", "is an HPAK image", "Volatility 2"},
      {"sadump\0\0"s, "is a dump of Fujitsu's sadump", "makedumpfile"},
      {"DISKDUMP", "is a dump of diskdump", "crash"},
      {"LibvirtQemudPart", "is a libvirt save image that was not finished", "again"},
      {"\xed\xeb\x0f\xf0", "is a core of Xen in the format of before 2007", "crash"},
      {"\xff\xff\xff\xff\xff\xff\xff\xffXENF", "is a migration stream of Xen", "xl dump-core"},
      {"\x7fVirtualBox SavedState V2.0", "is a saved state of VirtualBox", "dumpvmcore"},
      {"QFI\xfb", "is a qcow2 disk image", "snapshot"},
      {"\x1f\x8b\x08", "is packed by gzip", "unpack it first"},
      {"\x38\x8d", "is packed by zlib, as LiME does it with compress=1", "pigz"},
      {"\x78\x9c", "is packed by zlib", "pigz"},
  };
  for (const auto& [head, what, hint] : cases) {
    write(head);
    const auto error = refusal();
    EXPECT_EQ(error.code, Errc::not_supported) << what;
    EXPECT_THAT(error.message, HasSubstr(what));
    EXPECT_THAT(error.message, HasSubstr("this build reads elf, "));
    EXPECT_THAT(error.message, HasSubstr(hint));
  }
  file_.replace_extension(".raw");
  write("HPAK");
  EXPECT_EQ(refusal().code, Errc::not_supported) << "a magic is stronger than a suffix";
}

TEST_F(ImageOpeningTest, TheUsersWordIsStrongerThanAMagic) {
  write("EMiL");
  EXPECT_TRUE(open(DumpFormat::raw));
  EXPECT_THAT(log_, HasSubstr("is read as asked, though it looks like lime"));
  write("HPAK");
  EXPECT_TRUE(open(DumpFormat::raw));
  EXPECT_THAT(log_, HasSubstr("is read as asked, though it looks like an HPAK image"));
}

TEST_F(ImageOpeningTest, WithoutMagicAndSuffixTheUserHasToSay) {
  write("nothing");
  const auto error = refusal();
  EXPECT_EQ(error.code, Errc::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("memflow.coredump.format=raw"));
  EXPECT_TRUE(open(DumpFormat::raw));
}

TEST_F(ImageOpeningTest, ASuffixIsEnoughForRaw) {
  for (const char* suffix : {".raw", ".mem", ".vmem", ".img", ".dd", ".RAW"}) {
    file_.replace_extension(suffix);
    write("nothing");
    EXPECT_TRUE(open()) << suffix;
  }
  file_.replace_extension(".elf");
  write("nothing");
  EXPECT_FALSE(open());
}

TEST_F(ImageOpeningTest, MagicIsStrongerThanASuffix) {
  file_.replace_extension(".raw");
  const auto vm = open(ElfImage().add(0, pattern(kPageSize)));
  ASSERT_TRUE(vm);
  EXPECT_EQ(value<std::string>(*vm, "format"), "elf64");
}

TEST_F(ImageOpeningTest, AForcedFormatThatIsWrongSaysSo) {
  write("nothing");
  EXPECT_THAT(refusal(DumpFormat::elf).message, HasSubstr("does not begin with an ELF header"));
}

TEST_F(ImageOpeningTest, ALinkToAnImageIsFollowed) {
  const auto image = folder_.path() / "real";
  ElfImage().add(0, pattern(kPageSize)).write(image);
  std::filesystem::create_symlink("real", file_);
  EXPECT_TRUE(open());
}

}  // namespace
}  // namespace microvmi
