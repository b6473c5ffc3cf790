// SPDX-License-Identifier: Apache-2.0
// A LeechCore that is absent, of another version, or tells trouble: every reason is handed on.
#include <algorithm>
#include <fstream>

#include "support/soon.hpp"
#include "unit/connector/pcileech/machine.hpp"

namespace microvmi::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Kind = LeechcoreMachine::Kind;

struct Logged {
  std::vector<std::string> lines{};
  [[nodiscard]] InitOptions options() {
    return {.log = [this](std::string_view line) { lines.emplace_back(line); }};
  }
};

TEST(PcileechAbsent, TheErrorSaysWhereItWasLookedFor) {
  ::setenv("LD_LIBRARY_PATH", "/nowhere/at/all:relative:", 1);
  const std::string text = refusal({});
  ::unsetenv("LD_LIBRARY_PATH");
  if (text.empty() || text.contains("LeechCore opens no device")) return;  // one is installed
  EXPECT_THAT(text, AllOf(HasSubstr("leechcore.so is not installed; looked for in /nowhere/at/all"),
                          HasSubstr("/usr/lib"), HasSubstr("memflow.pcileech.library"),
                          Not(HasSubstr("relative"))));
}

TEST(PcileechAbsent, ANamedFileThatIsNoLibrary) {
  const LeechcoreMachine machine(Kind::raw);
  PcileechParams params = machine.params();
  params.library = machine.folder() / "absent.so";
  EXPECT_THAT(refusal(params), HasSubstr("there is no file " + params.library->string()));
  params.library = machine.folder() / "text.so";
  std::ofstream(*params.library) << "no library\n";
  EXPECT_THAT(refusal(params), HasSubstr("LeechCore cannot be loaded: "));
  params.library = not_leechcore();
  EXPECT_THAT(refusal(params), HasSubstr("is no LeechCore 2: it has no LcCreateEx"));
}

TEST(PcileechAbsent, TheLibraryIsFoundWhereTheSystemLooks) {
  const LeechcoreMachine machine(Kind::raw);
  PcileechParams params = machine.params();
  params.library.reset();
  std::filesystem::create_symlink(leechcore_library(), machine.folder() / "leechcore.so");
  ::setenv("LD_LIBRARY_PATH", machine.folder().c_str(), 1);
  EXPECT_EQ(refusal(params), "");
  ::unsetenv("LD_LIBRARY_PATH");
}

TEST(PcileechDevice, OneThatIsNotThereIsToldWithWhatLeechCorePrints) {
  const LeechcoreMachine machine(Kind::raw);
  PcileechParams params = machine.params();
  params.device = "file://file=/nowhere/memory";
  EXPECT_THAT(refusal(params),
              AllOf(HasSubstr("not_found"), HasSubstr("opens no device 'file://file=/nowhere"),
                    HasSubstr("LeechCore said: "), HasSubstr("Failed opening file")));
  params.device = std::string(260, 'x');
  EXPECT_THAT(refusal(params), HasSubstr("259 characters"));
  params.device = "";
  EXPECT_THAT(refusal(params), HasSubstr("is empty"));
}

TEST(PcileechDevice, WhatIsKnownOfIt) {
  const LeechcoreMachine machine(Kind::live);
  auto vm = open_pcileech(machine.params());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_THAT(vm->info().facts,
              testing::IsSupersetOf({Fact{"leechcore", "2.23.3"}, Fact{"device", "file"},
                                     Fact{"volatile", true}, Fact{"map_source", "memmap"}}));
}

TEST(PcileechSimulated, AnotherVersionIsRefused) {
  const LeechcoreMachine machine(Kind::raw);
  EXPECT_THAT(refusal(simulated(machine, "version=3")),
              HasSubstr("LeechCore 3.23.3 is of a version whose interface is not known"));
}

TEST(PcileechSimulated, PagesThatCannotBeReadAreErrorsAndTheOthersAreNot) {
  const LeechcoreMachine machine(Kind::raw);
  auto vm = open_pcileech(simulated(machine, "bad=3000-4fff"));
  ASSERT_TRUE(vm) << to_text(vm.error());
  std::vector<std::vector<std::byte>> into(3, std::vector<std::byte>(2 * kPageSize));
  std::vector<ReadRequest> batch{{.gpa = Gpa{0x1000}, .into = into[0]},
                                 {.gpa = Gpa{0x2800}, .into = into[1]},
                                 {.gpa = Gpa{0x5000}, .into = into[2]}};
  vm->memory().read(batch);
  EXPECT_EQ(batch[1].status, Errc::io);
  EXPECT_EQ(batch[1].failed_at, Gpa{0x3000});
  EXPECT_EQ(batch[1].done, 0x800U);
  for (const std::size_t i : {0U, 2U}) {
    EXPECT_EQ(batch[i].status, Errc::none);
    EXPECT_EQ(into[i], machine.truth(batch[i].gpa, 2 * kPageSize));
  }
}

TEST(PcileechSimulated, WhatItPrintsIsInTheLogAndNoTerminalObeysIt) {
  const LeechcoreMachine machine(Kind::raw);
  Logged log;
  auto vm = open_pcileech(simulated(machine, "print=create"), log.options());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_THAT(log.lines, Contains("pcileech: LeechCore: DEVICE: about to create"));
  EXPECT_THAT(log.lines, Contains("pcileech: LeechCore: a driver's own ?[31mwords"));
  EXPECT_THAT(log.lines, Contains("memflow: opened by pcileech"));
}

TEST(PcileechSimulated, WhatItPrintsWithAReadIsInTheLogToo) {
  const LeechcoreMachine machine(Kind::raw);
  Logged log;
  auto vm = open_pcileech(simulated(machine, "print=read"), log.options());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_THAT(log.lines, Not(Contains("pcileech: LeechCore: DEVICE: about to read")));
  std::vector<std::byte> bytes(kPageSize);
  const auto is_told = [&] {
    EXPECT_TRUE(vm->memory().read(Gpa{0}, bytes));
    return std::ranges::count(log.lines, "pcileech: LeechCore: DEVICE: about to read") != 0;
  };
  EXPECT_TRUE(soon(is_told)) << "what was printed may come after the answer";
}

TEST(PcileechSimulated, OfAFloodWithReadsTheFirstLinesAreInTheLog) {
  const LeechcoreMachine machine(Kind::raw);
  Logged log;
  auto vm = open_pcileech(simulated(machine, "flood=read"), log.options());
  ASSERT_TRUE(vm) << to_text(vm.error());
  const std::size_t before = log.lines.size();
  std::vector<std::byte> bytes(kPageSize);
  const std::string_view last = "pcileech: what LeechCore prints from now on is not told any more";
  const auto is_over = [&] {
    EXPECT_TRUE(vm->memory().read(Gpa{0}, bytes));
    return log.lines.back() == last;
  };
  ASSERT_TRUE(soon(is_over));
  EXPECT_EQ(log.lines.size(), before + 1001);
  EXPECT_TRUE(vm->memory().read(Gpa{0}, bytes));
  EXPECT_EQ(log.lines.size(), before + 1001);
}

TEST(PcileechSimulated, AFloodOfWordsHoldsNothingUp) {
  const LeechcoreMachine machine(Kind::raw);
  for (const char* keys : {"flood=create", "flood=read"}) {
    auto vm = open_pcileech(simulated(machine, keys));
    ASSERT_TRUE(vm) << to_text(vm.error());
    std::vector<std::byte> bytes(300 * kPageSize);
    ASSERT_TRUE(vm->memory().read(Gpa{0}, bytes));
    EXPECT_TRUE(bytes == machine.truth(Gpa{0}, bytes.size()));
  }
}

TEST(PcileechSimulated, AQuestionOnTheTerminalGetsNoAnswer) {
  const LeechcoreMachine machine(Kind::raw);
  EXPECT_THAT(refusal(simulated(machine, "ask=1")), AllOf(HasSubstr("Change it? [Y/n] no answer"),
                                                          Not(HasSubstr("there is a terminal"))));
}

TEST(PcileechSimulated, AutoClearNeedsABitstreamThatHasIt) {
  const LeechcoreMachine machine(Kind::raw);
  for (const auto& [keys, says] : {std::pair{"", "bitstream 0.0"}, {"bitstream=4.6", "4.6"}}) {
    PcileechParams params = simulated(machine, keys);
    params.auto_clear = true;
    EXPECT_THAT(refusal(params), AllOf(HasSubstr("cannot clear its status register"),
                                       HasSubstr(says), HasSubstr("4.7")));
  }
  for (const char* keys : {"bitstream=4.7", "bitstream=5.0"}) {
    PcileechParams params = simulated(machine, keys);
    params.auto_clear = true;
    Logged log;
    EXPECT_EQ(refusal(params, log.options()), "");
    EXPECT_THAT(log.lines, Contains("pcileech: LeechCore: PCIe register 2: 10 00 10 00"));
  }
}

TEST(PcileechSimulated, TheMapIsAskedForAgain) {
  const LeechcoreMachine machine(Kind::raw);
  auto vm = open_pcileech(simulated(machine));
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_TRUE(vm->memory().refresh());
  EXPECT_EQ(vm->memory().map()->generation, 0U);
}

}  // namespace
}  // namespace microvmi::test
