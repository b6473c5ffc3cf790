// SPDX-License-Identifier: Apache-2.0
// Address translation of a running guest, against what the guest says and what QEMU's own walk
// says.
#include <sstream>

#include "live.hpp"
#include "microvmi/address_space.hpp"

namespace microvmi::test {
namespace {

struct TlbLine {
  std::uint64_t gva, gpa;
  std::string flags;  // "X-PDA--UW" of the last entry alone
};

struct MemLine {
  std::uint64_t start, end;
  std::string rights;  // "urw" of all levels together
};

// "ffffffff80000000: 0000000000000000 --PDA---W"
std::vector<TlbLine> tlb_of(const std::string& text) {
  std::vector<TlbLine> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    TlbLine one{};
    char colon = 0;
    std::istringstream words(line);
    if (words >> std::hex >> one.gva >> colon >> one.gpa >> one.flags) out.push_back(one);
  }
  return out;
}

// "0000000000000000-0000000040000000 0000000040000000 -rw"
std::vector<MemLine> mem_of(const std::string& text) {
  std::vector<MemLine> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    MemLine one{};
    std::uint64_t size = 0;
    char dash = 0;
    std::istringstream words(line);
    if (words >> std::hex >> one.start >> dash >> one.end >> size >> one.rights) out.push_back(one);
  }
  return out;
}

class TranslateLiveTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    MICROVMI_NEEDS_TINY_GUEST();
    auto guest = TinyGuest::boot({.machine = GetParam(), .memory = "128M"});
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
    auto vm = open_pid(guest_->qemu().pid());
    ASSERT_TRUE(vm) << to_text(vm.error());
    vm_.emplace(*std::move(vm));
    Registers registers;
    for (const auto& [name, value] : guest_->truth().registers)
      if (const RegisterInfo* info = find_register(name)) registers.set(info->reg, value);
    const auto space = AddressSpace::of(registers);
    ASSERT_TRUE(space) << space.error().message;
    EXPECT_EQ(space->mode, PagingMode::four_level);
    space_ = *space;
    ASSERT_TRUE(guest_->qemu().stop());
  }

  std::string ask(const std::string& command) {
    const auto answer = guest_->qemu().truth().human(command);
    EXPECT_TRUE(answer) << answer.error();
    return answer.value_or("");
  }

  std::unique_ptr<TinyGuest> guest_;
  std::optional<Vm> vm_;
  AddressSpace space_;
};

TEST_P(TranslateLiveTest, WhatTheGuestMapped) {
  ASSERT_GE(guest_->truth().mappings.size(), 3U);
  for (const TinyMapping& one : guest_->truth().mappings) {
    const auto found = vm_->translate(space_, Gva{one.gva + 0x123});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(to_integer(found->gpa), one.gpa + 0x123);
    EXPECT_EQ(found->page_size, one.size);
  }
}

TEST_P(TranslateLiveTest, EveryPageIsWhereQemuSaysAndMayWhatItSays) {
  const auto pages = tlb_of(ask("info tlb"));
  const auto ranges = mem_of(ask("info mem"));
  ASSERT_GE(pages.size(), 32U);
  ASSERT_FALSE(ranges.empty());
  for (const TlbLine& page : pages) {
    const auto found = vm_->translate(space_, Gva{page.gva});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(to_integer(found->gpa), page.gpa);
    EXPECT_EQ(found->page_size > kPageSize, page.flags[2] == 'P');
    EXPECT_EQ(found->executable, page.flags[0] != 'X') << std::hex << page.gva;
    const auto range = std::ranges::find_if(ranges, [&](const MemLine& one) {
      return page.gva >= one.start && page.gva - one.start < one.end - one.start;
    });
    ASSERT_NE(range, ranges.end()) << std::hex << page.gva;
    EXPECT_EQ(found->user, range->rights[0] == 'u') << std::hex << page.gva;
    EXPECT_EQ(found->writable, range->rights[2] == 'w') << std::hex << page.gva;
  }
}

TEST_P(TranslateLiveTest, BetweenItsRangesNothingIsMapped) {
  for (const MemLine& range : mem_of(ask("info mem"))) {
    for (const std::uint64_t gva : {range.start, range.end - 1, range.start - 1, range.end}) {
      std::ostringstream command;
      command << "gva2gpa 0x" << std::hex << gva;
      const std::string said = ask(command.str());  // "gpa: 0x1000", or "Unmapped"
      const auto found = vm_->translate(space_, Gva{gva});
      if (said.starts_with("Unmapped")) {
        ASSERT_FALSE(found) << command.str();
        EXPECT_THAT(found.error().code, testing::AnyOf(Errc::hole, Errc::invalid_argument));
      } else {
        ASSERT_TRUE(found) << found.error().message;
        EXPECT_EQ(to_integer(found->gpa),
                  std::stoull(said.substr(said.find(": ") + 2), nullptr, 16));
      }
    }
  }
}

TEST_P(TranslateLiveTest, ReadsByVirtualAddressAreThoseOfTheMonitor) {
  VirtualMemory memory(vm_->memory(), space_);
  for (const TinyMapping& one : guest_->truth().mappings) {
    const auto ours = memory.read_value<std::uint64_t>(Gva{one.gva + 8});
    ASSERT_TRUE(ours) << ours.error().message;
    std::ostringstream command;
    command << "x/1gx 0x" << std::hex << one.gva + 8;
    const std::string said = ask(command.str());
    EXPECT_EQ(*ours, std::stoull(said.substr(said.find(": 0x") + 2), nullptr, 16)) << said;
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, TranslateLiveTest, testing::Values("pc", "q35"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace microvmi::test
