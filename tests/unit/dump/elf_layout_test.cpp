// SPDX-License-Identifier: Apache-2.0
// Maps of unusual shape: very many regions, too long ones, none.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "dump/layout.hpp"
#include "support/temp_folder.hpp"
#include "unit/dump/elf_file.hpp"
#include "unit/dump/scripted_memory.hpp"

namespace microvmi {
namespace {

constexpr std::uint64_t kNote = 512;

MemoryMap scattered(std::uint64_t count) {
  MemoryMap map;
  for (std::uint64_t i = 0; i < count; ++i)
    map.regions.push_back({.gpa = Gpa{2 * i * kPageSize}, .size = kPageSize});
  return map;
}

// What binutils make of it; empty where there are none.
std::string readelf(const std::string& options, const std::filesystem::path& file) {
  const std::string command = "readelf " + options + " '" + file.string() + "' 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  std::array<char, 4096> part{};
  while (pipe && std::fgets(part.data(), part.size(), pipe)) out += part.data();
  const bool found = pipe && ::pclose(pipe) != 127 << 8;
  return found ? out : "";
}

TEST(ElfLayoutTest, MoreSegmentsThanTheHeaderCanCount) {
  constexpr std::uint64_t kMany = 70'000;
  const test::TempFolder folder;
  const auto script = std::make_shared<test::Script>();
  script->map = scattered(kMany);
  Vm vm = test::scripted_vm(script);
  const auto file = folder.path() / "guest.elf";
  const auto report = dump(vm, file, {.sync = false});
  ASSERT_TRUE(report) << report.error().message;
  const test::ElfFile elf(test::content_of(file));
  EXPECT_EQ(elf.head.e_phnum, PN_XNUM);
  ASSERT_EQ(elf.loads.size(), kMany);
  EXPECT_EQ(elf.loads.back().p_paddr, 2 * (kMany - 1) * kPageSize);
  const std::string text = readelf("-h -W", file);
  if (text.empty()) GTEST_SKIP() << "readelf of binutils is not installed";
  EXPECT_NE(text.find("65535 (70001)"), std::string::npos) << text;
}

TEST(ElfLayoutTest, ReadelfUnderstandsWhatWeWrite) {
  const test::TempFolder folder;
  const auto script = std::make_shared<test::Script>();
  script->map = scattered(3);
  Vm vm = test::scripted_vm(script);
  const auto file = folder.path() / "guest.elf";
  ASSERT_TRUE(dump(vm, file));
  const std::string text = readelf("-l -n -W", file);
  if (text.empty()) GTEST_SKIP() << "readelf of binutils is not installed";
  EXPECT_NE(text.find("Elf file type is CORE (Core file)"), std::string::npos) << text;
  EXPECT_NE(text.find("There are 4 program headers, starting at offset 64"), std::string::npos);
  EXPECT_NE(text.find("0x0000000000004000 0x0000000000004000 0x001000 0x001000 RWE 0"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("MICROVMI"), std::string::npos) << text;
  EXPECT_EQ(text.find("arning"), std::string::npos) << text;
  EXPECT_EQ(text.find("rror"), std::string::npos) << text;
}

TEST(ElfLayoutTest, TheFileIsOfTheGuestsArchitecture) {
  const test::TempFolder folder;
  const auto script = std::make_shared<test::Script>();
  script->map = scattered(1);
  const auto machine_in_file = [&](const char* architecture) {
    if (architecture) script->facts = {{"architecture", std::string(architecture)}};
    Vm vm = test::scripted_vm(script);
    const auto file = folder.path() / "guest.elf";
    if (!dump(vm, file)) return -1;
    return int{test::ElfFile(test::content_of(file)).head.e_machine};
  };
  EXPECT_EQ(machine_in_file(nullptr), EM_X86_64);
  EXPECT_EQ(machine_in_file("aarch64"), EM_AARCH64);
  EXPECT_EQ(machine_in_file("riscv"), EM_RISCV);
}

TEST(ElfLayoutTest, AddressesBeyondWhatAFileCanHold) {
  const MemoryMap map{.regions = {{.gpa = Gpa{1ULL << 63}, .size = kPageSize}}};
  const auto raw = dumper::lay_out(map, ImageFormat::raw, kNote);
  ASSERT_FALSE(raw);
  EXPECT_EQ(raw.error().code, Errc::invalid_argument);
  EXPECT_EQ(raw.error().hint, "dump as elf, which leaves holes out");
  EXPECT_TRUE(dumper::lay_out(map, ImageFormat::elf, kNote));
  const MemoryMap endless{.regions = {{.gpa = Gpa{0}, .size = 1ULL << 63}}};
  EXPECT_FALSE(dumper::lay_out(endless, ImageFormat::elf, kNote));
}

TEST(ElfLayoutTest, DataBeginsOnAPageBehindTheHeaders) {
  for (const std::uint64_t count : {1U, 50U, 65'533U, 65'534U, 65'535U, 100'000U}) {
    const auto layout = dumper::lay_out(scattered(count), ImageFormat::elf, kNote);
    ASSERT_TRUE(layout);
    EXPECT_EQ(layout->header_size % kPageSize, 0U);
    EXPECT_GE(layout->header_size, 64 + (count + 1) * 56 + kNote);
    EXPECT_EQ(layout->pieces.front().offset, layout->header_size);
    EXPECT_EQ(layout->file_size, layout->header_size + count * kPageSize);
  }
}

TEST(ElfLayoutTest, PiecesGrowTogetherWhereGuestAndFileDo) {
  using enum MemoryRegion::Kind;
  std::vector<dumper::Piece> pieces;
  dumper::append(pieces, {Gpa{0}, kPageSize, 0, ram});
  dumper::append(pieces, {Gpa{kPageSize}, kPageSize, kPageSize, ram});
  EXPECT_EQ(pieces.size(), 1U);
  dumper::append(pieces, {Gpa{2 * kPageSize}, kPageSize, 4 * kPageSize, ram});
  EXPECT_EQ(pieces.size(), 2U) << "elsewhere in the file";
  dumper::append(pieces, {Gpa{3 * kPageSize}, kPageSize, 5 * kPageSize, rom});
  EXPECT_EQ(pieces.size(), 3U) << "of another kind";
}

}  // namespace
}  // namespace microvmi
