// SPDX-License-Identifier: Apache-2.0
// Which memory map is believed: on the stand-in, and on a real LeechCore where one is named.
#include <fstream>

#include "support/sizes.hpp"
#include "unit/connector/pcileech/machine.hpp"

namespace microvmi::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = LeechcoreMachine::Kind;

std::filesystem::path write_map(const LeechcoreMachine& machine, const std::string& text) {
  std::ofstream(machine.folder() / "map") << text;
  return machine.folder() / "map";
}

TEST(PcileechMap, AnAssumedMapOf4GiBIsRefused) {
  const LeechcoreMachine machine(Kind::raw);
  machine.cut_off(17 * kMiB + 123);  // LeechCore knows no map of a file like that
  EXPECT_THAT(refusal(machine.params()),
              AllOf(HasSubstr("assumes all of the first 4 GiB"), HasSubstr("pages tried there"),
                    HasSubstr("memflow.pcileech.memmap")));
  EXPECT_THAT(refusal(machine.params("volatile=1")),
              AllOf(HasSubstr("assumes all of the first 4 GiB"), HasSubstr("memmap")));
}

TEST(PcileechMap, WithAMapSuchAFileOpens) {
  const LeechcoreMachine machine(Kind::raw);
  machine.cut_off(17 * kMiB + 123);
  for (const char* keys : {"", "volatile=1"}) {
    PcileechParams params = machine.params(keys);
    params.memmap = write_map(machine, "0 9ffff\n100000 10fffff\n");
    auto vm = open_pcileech(params);
    ASSERT_TRUE(vm) << to_text(vm.error());
    EXPECT_EQ(vm->end_of_memory(), Gpa{17 * kMiB});
    EXPECT_TRUE(vm->memory().map()->exact);
    std::vector<std::byte> bytes(kPageSize);
    ASSERT_TRUE(vm->memory().read(Gpa{0x3000}, bytes));
    EXPECT_EQ(bytes, machine.truth(Gpa{0x3000}, kPageSize));
    EXPECT_EQ(vm->memory().read(Gpa{0xa0000}, bytes).error().code, Errc::hole);
  }
}

TEST(PcileechMap, ARealBaseOf0IsOne) {
  const LeechcoreMachine machine(Kind::raw);
  PcileechParams params = machine.params();
  params.memmap = write_map(machine, "[[range]]\nbase = 0x10000\nlength = 0x2000\nreal_base = 0\n");
  auto vm = open_pcileech(params);
  ASSERT_TRUE(vm) << to_text(vm.error());
  std::vector<std::byte> bytes(2 * kPageSize);
  ASSERT_TRUE(vm->memory().read(Gpa{0x10000}, bytes));
  EXPECT_EQ(bytes, machine.truth(Gpa{0}, 2 * kPageSize));
}

TEST(PcileechMap, AMapThatGoesOnBehindTheDeviceReadsToItsEnd) {
  const LeechcoreMachine machine(Kind::raw);
  PcileechParams params = machine.params();
  params.memmap = write_map(machine, "0 3ffffff\n");
  auto vm = open_pcileech(params);
  ASSERT_TRUE(vm) << to_text(vm.error());
  std::vector<std::byte> bytes(4 * kPageSize);
  std::vector<ReadRequest> batch{{.gpa = Gpa{32 * kMiB - 2 * kPageSize}, .into = bytes}};
  vm->memory().read(batch);
  EXPECT_EQ(batch[0].status, Errc::io) << "no hole: the map has it";
  EXPECT_EQ(batch[0].failed_at, Gpa{32 * kMiB});
  EXPECT_EQ(batch[0].done, 2 * kPageSize);
}

TEST(PcileechMap, AWrongFileIsToldBeforeAnythingIsOpened) {
  const LeechcoreMachine machine(Kind::raw);
  PcileechParams params = machine.params();
  params.memmap = write_map(machine, "0 9ffff\n9f000 fffff\n");
  EXPECT_THAT(refusal(params), HasSubstr("overlap"));
  params.memmap = machine.folder() / "absent";
  EXPECT_THAT(refusal(params), HasSubstr("absent: No such file"));
  params.memmap = machine.folder();
  EXPECT_THAT(refusal(params), HasSubstr("is a directory"));
}

TEST(PcileechMap, OfAChangingFileEachReadIsNew) {
  const LeechcoreMachine machine(Kind::live);
  auto vm = open_pcileech(machine.params());
  ASSERT_TRUE(vm) << to_text(vm.error());
  for (const char* word : {"first", "other"}) {
    {
      std::fstream file(machine.path(), std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(0x2000) << word;
    }
    std::array<char, 5> bytes{};
    ASSERT_TRUE(vm->memory().read(Gpa{0x2000}, std::as_writable_bytes(std::span(bytes))));
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), word);
  }
}

TEST(PcileechSimulatedMap, WhatIsWrongInLeechCoresMapIsRefused) {
  const LeechcoreMachine machine(Kind::raw);
  EXPECT_THAT(refusal(simulated(machine, "map=overlap")),
              AllOf(HasSubstr("LeechCore's memory map is wrong"), HasSubstr("overlap")));
  EXPECT_THAT(refusal(simulated(machine, "map=unaligned")), HasSubstr("whole pages"));
  EXPECT_THAT(refusal(simulated(machine, "map=wraps")), HasSubstr("past the last physical"));
  EXPECT_THAT(refusal(simulated(machine, "map=long")), HasSubstr("has 100001 ranges, more than"));
  EXPECT_THAT(refusal(simulated(machine, "map=none")), HasSubstr("tells no memory map"));
}

TEST(PcileechSimulatedMap, AMapThatIsNotTakenIsAnError) {
  const LeechcoreMachine machine(Kind::raw);
  PcileechParams params = simulated(machine, "map=drops");
  params.memmap = write_map(machine, "0 9ffff\n100000 fffff\n");
  EXPECT_THAT(refusal(params), HasSubstr("is not above"));
  params.memmap = write_map(machine, "0 9ffff\n100000 1fffff\n");
  EXPECT_THAT(refusal(params), HasSubstr("LeechCore does not take the memory map"));
}

}  // namespace
}  // namespace microvmi::test
