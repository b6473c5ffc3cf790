// SPDX-License-Identifier: Apache-2.0
// ContractTest: a guest of one subject, opened; and what all contract tests look at it with.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <optional>

#include "contract/subject.hpp"

namespace microvmi::contract {

class ContractTest : public testing::TestWithParam<SubjectKind> {
 protected:
  void SetUp() override {
    if (const std::string why = GetParam().why_not(); !why.empty()) GTEST_SKIP() << why;
    auto subject = GetParam().make();
    ASSERT_TRUE(subject) << subject.error();
    subject_ = *std::move(subject);
    auto opened = subject_->open();
    ASSERT_TRUE(opened) << to_text(opened.error());
    vm_.emplace(*std::move(opened));
    ram_ = subject_->ram();
    ASSERT_FALSE(ram_.empty()) << "the subject knows of no RAM";
    still_ = subject_->still();
    ASSERT_FALSE(still_.empty()) << "the subject knows of no RAM that stays as it is";
  }

  [[nodiscard]] PhysicalMemory& memory() { return vm_->memory(); }

  [[nodiscard]] bool can(Capability wanted) const {
    return std::ranges::count(vm_->capabilities(), wanted) != 0;
  }

  [[nodiscard]] std::vector<std::byte> truth(Gpa gpa, std::size_t size) {
    auto bytes = subject_->truth(gpa, size);
    EXPECT_TRUE(bytes) << bytes.error();
    return bytes ? *std::move(bytes) : std::vector<std::byte>{};
  }

  // One past the last byte of all RAM; nothing is behind it.
  [[nodiscard]] Gpa end() const { return ram_.back().end(); }

  // The first address behind each region of RAM at which a read has to fail: those that the map
  // gives to nothing, be it RAM or ROM.
  [[nodiscard]] std::vector<Gpa> holes() {
    std::vector<Gpa> found;
    const auto map = memory().map();
    for (const MemoryRegion& region : ram_)
      if (!map->find(region.end())) found.push_back(region.end());
    return found;
  }

  std::unique_ptr<Subject> subject_;
  std::optional<Vm> vm_;
  std::vector<MemoryRegion> ram_;
  std::vector<MemoryRegion> still_;
};

}  // namespace microvmi::contract
