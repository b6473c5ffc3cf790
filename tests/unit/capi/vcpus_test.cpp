// SPDX-License-Identifier: Apache-2.0
// The C API of vCPUs over the fake guest: registers, page tables, events.
#include <gmock/gmock.h>

#include <array>
#include <cstring>

#include "capi/handle.hpp"
#include "support/fake_guest.hpp"

namespace microvmi::test {
namespace {

constexpr std::size_t kCount = kRegisters.size();

std::size_t index_of(const char* name) {
  std::size_t i = 0;
  while (std::strcmp(mvmi_register_name(i), name) != 0) ++i;
  return i;
}

class CapiVcpusTest : public testing::Test {
 protected:
  std::string code() {
    std::string out = mvmi_errc_name(mvmi_error_code(error_));
    mvmi_error_free(error_);
    error_ = nullptr;
    return out;
  }

  std::shared_ptr<FakeState> state_ = std::make_shared<FakeState>();
  mvmi_vm vm_{Vm(DriverType::xen, std::make_unique<FakeGuest>(state_))};
  std::array<std::uint64_t, kCount> values_{};
  std::array<unsigned char, kCount> known_{};
  mvmi_error* error_ = nullptr;
};

TEST_F(CapiVcpusTest, RegistersByTheIndexOfTheirName) {
  state_->vcpus[VcpuId{0}].set(Reg::cs_base, 0x77);
  ASSERT_TRUE(mvmi_read_registers(&vm_, 0, values_.data(), known_.data(), kCount, &error_));
  EXPECT_EQ(values_[index_of("cs_base")], 0x77U);
  EXPECT_EQ(known_[index_of("cs_base")], 1);
  EXPECT_EQ(known_[index_of("rax")], 0);
  EXPECT_EQ(mvmi_register_name(kCount), nullptr);
  EXPECT_EQ(mvmi_vcpus(&vm_), 1U);
  EXPECT_FALSE(mvmi_read_registers(&vm_, 5, values_.data(), known_.data(), kCount, &error_));
  EXPECT_EQ(code(), "not_found");
}

TEST_F(CapiVcpusTest, MoreOrFewerRegistersThanThereAre) {
  std::array<std::uint64_t, kCount + 3> values{};
  std::array<unsigned char, kCount + 3> known{};
  known.fill(9);
  ASSERT_TRUE(mvmi_read_registers(&vm_, 0, values.data(), known.data(), values.size(), &error_));
  EXPECT_EQ(known.back(), 0);
  known.fill(1);
  values.fill(3);
  ASSERT_TRUE(mvmi_write_registers(&vm_, 0, values.data(), known.data(), values.size(), &error_));
  EXPECT_EQ(state_->vcpus[VcpuId{0}].known().count(), kCount);
  ASSERT_TRUE(mvmi_write_registers(&vm_, 0, values.data(), known.data(), 0, &error_));
}

TEST_F(CapiVcpusTest, OnlyMarkedRegistersAreWritten) {
  values_[index_of("rip")] = 0x1000;
  known_[index_of("rip")] = 1;
  ASSERT_TRUE(mvmi_write_registers(&vm_, 0, values_.data(), known_.data(), kCount, &error_));
  EXPECT_EQ(state_->vcpus[VcpuId{0}][Reg::rip], 0x1000);
  EXPECT_EQ(state_->vcpus[VcpuId{0}].known().count(), 1U);
}

TEST_F(CapiVcpusTest, RunStates) {
  int running = 7;
  ASSERT_TRUE(mvmi_running(&vm_, &running, &error_));
  EXPECT_EQ(running, 1);
  ASSERT_TRUE(mvmi_pause(&vm_, &error_));
  ASSERT_TRUE(mvmi_running(&vm_, &running, &error_));
  EXPECT_EQ(running, 0);
}

TEST_F(CapiVcpusTest, AsMuchOfAnXsaveAreaAsFits) {
  state_->xsave = {std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::uint8_t, 4> area{9, 9, 9, 9};
  std::size_t size = 0;
  ASSERT_TRUE(mvmi_read_xsave(&vm_, 0, area.data(), 2, &size, &error_));
  EXPECT_EQ(size, 3U);
  EXPECT_THAT(area, testing::ElementsAre(1, 2, 9, 9));
  ASSERT_TRUE(mvmi_read_xsave(&vm_, 0, area.data(), area.size(), &size, &error_));
  EXPECT_THAT(area, testing::ElementsAre(1, 2, 3, 9));
  EXPECT_FALSE(mvmi_read_xsave(&vm_, 0, nullptr, 1, &size, &error_));
  EXPECT_EQ(code(), "invalid_argument");
  EXPECT_FALSE(mvmi_read_xsave(&vm_, 0, area.data(), 1, nullptr, &error_));
  EXPECT_EQ(code(), "invalid_argument");
}

TEST_F(CapiVcpusTest, DirtyPagesInPartsThatFit) {
  std::array<mvmi_range, 2> ranges{};
  std::size_t count = 0;
  EXPECT_FALSE(mvmi_dirty_take(&vm_, ranges.data(), ranges.size(), &count, &error_));
  EXPECT_EQ(code(), "busy");
  ASSERT_TRUE(mvmi_dirty_begin(&vm_, &error_));
  state_->dirty = {{Gpa{0}, 0x1000}, {Gpa{0x3000}, 0x2000}, {Gpa{0x8000}, 0x1000}};
  ASSERT_TRUE(mvmi_dirty_take(&vm_, ranges.data(), ranges.size(), &count, &error_));
  EXPECT_EQ(count, 3U);
  EXPECT_EQ(ranges[1].gpa, 0x3000U);
  EXPECT_EQ(ranges[1].size, 0x2000U);
  ASSERT_TRUE(mvmi_dirty_take(&vm_, ranges.data(), ranges.size(), &count, &error_));
  EXPECT_EQ(count, 1U);
  EXPECT_EQ(ranges[0].gpa, 0x8000U);
  EXPECT_FALSE(mvmi_dirty_take(&vm_, nullptr, 1, &count, &error_));
  EXPECT_EQ(code(), "invalid_argument");
  ASSERT_TRUE(mvmi_dirty_end(&vm_, &error_));
}

TEST_F(CapiVcpusTest, DirtyPagesThatWereNotTakenAreSortedIntoNewOnes) {
  std::array<mvmi_range, 4> ranges{};
  std::size_t count = 0;
  ASSERT_TRUE(mvmi_dirty_begin(&vm_, &error_));
  state_->dirty = {{Gpa{0x3000}, 0x2000}, {Gpa{0x8000}, 0x1000}};
  ASSERT_TRUE(mvmi_dirty_take(&vm_, nullptr, 0, &count, &error_));
  state_->dirty = {{Gpa{0}, 0x1000}, {Gpa{0x4000}, 0x2000}, {Gpa{0x8000}, 0x1000}};
  ASSERT_TRUE(mvmi_dirty_take(&vm_, ranges.data(), ranges.size(), &count, &error_));
  ASSERT_EQ(count, 3U);
  EXPECT_EQ(ranges[0].gpa, 0U);
  EXPECT_EQ(ranges[1].gpa, 0x3000U);
  EXPECT_EQ(ranges[1].size, 0x3000U);
  EXPECT_EQ(ranges[2].gpa, 0x8000U);
  EXPECT_EQ(ranges[2].size, 0x1000U);
}

TEST_F(CapiVcpusTest, ANegativePagingModeIsNone) {
  const mvmi_space space{.cr3 = 0, .paging = -1, .large_pages = 1, .no_execute = 1};
  mvmi_translation out{};
  EXPECT_FALSE(mvmi_translate(&vm_, &space, 0, &out, &error_));
  EXPECT_EQ(code(), "invalid_argument");
}

TEST_F(CapiVcpusTest, AddressesThroughPageTables) {
  for (const auto& [gpa, value] : {std::pair{0x0000, 0x1007}, {0x1000, 0x4087}})
    ASSERT_TRUE(vm_.vm.memory().write_value(Gpa{static_cast<std::uint64_t>(gpa)},
                                            static_cast<std::uint32_t>(value)));
  mvmi_space space{0, MVMI_PAGING_TWO_LEVEL, 1, 1};
  mvmi_translation found{};
  ASSERT_TRUE(mvmi_translate(&vm_, &space, 0x123, &found, &error_));
  EXPECT_EQ(found.gpa, 0x4123U);
  EXPECT_EQ(found.depth, 2U);
  EXPECT_EQ(found.levels[1].gpa, 0x1000U);
  EXPECT_EQ(found.levels[1].value, 0x4087U);
  std::uint16_t word = 0;
  ASSERT_TRUE(mvmi_read_virtual(&vm_, &space, 0x10, &word, sizeof word, &error_));
  EXPECT_EQ(word, 0x4444);
  ASSERT_TRUE(mvmi_write_virtual(&vm_, &space, 0x10, "ab", 2, &error_));
  EXPECT_EQ(vm_.vm.memory().read_value<std::uint16_t>(Gpa{0x4010}), 0x6261);
  space.paging = 77;
  EXPECT_FALSE(mvmi_translate(&vm_, &space, 0, &found, &error_));
  EXPECT_EQ(code(), "invalid_argument");
  EXPECT_FALSE(mvmi_space_of_vcpu(&vm_, 0, &space, &error_));
  EXPECT_EQ(code(), "not_supported");
  state_->vcpus[VcpuId{0}].set(Reg::cr0, 1);
  ASSERT_TRUE(mvmi_space_of_vcpu(&vm_, 0, &space, &error_));
  EXPECT_EQ(space.paging, MVMI_PAGING_NONE);
}

TEST_F(CapiVcpusTest, AnEventTellsAndIsAnswered) {
  Registers registers;
  registers.set(Reg::rip, 0x55);
  state_->pending.emplace_back(Caught<CrWrite>({Reg::cr3, 1, 2}, VcpuId{3}, registers, state_, 1));
  ASSERT_TRUE(mvmi_intercept(&vm_, MVMI_EVERY_VCPU, "cr_write:cr3", &error_));
  mvmi_event* event = mvmi_next_event(&vm_, 1000, &error_);
  ASSERT_NE(event, nullptr);
  EXPECT_STREQ(mvmi_event_kind(event), "cr_write");
  EXPECT_EQ(mvmi_event_vcpu(event), 3U);
  std::uint64_t value = 0;
  EXPECT_STREQ(mvmi_event_field(event, 2, &value), "new_value");
  EXPECT_EQ(value, 2U);
  EXPECT_EQ(mvmi_event_field(event, 3, &value), nullptr);
  mvmi_event_registers(event, values_.data(), known_.data(), kCount);
  EXPECT_EQ(values_[index_of("rip")], 0x55U);
  EXPECT_FALSE(mvmi_event_reply(event, "retry", 0, &error_));
  EXPECT_EQ(code(), "invalid_argument");
  EXPECT_FALSE(mvmi_event_reply(event, "go", 0, &error_));
  EXPECT_EQ(code(), "invalid_argument");
  ASSERT_TRUE(mvmi_event_reply(event, "set_value", 9, &error_));
  mvmi_event_free(event);
  ASSERT_EQ(state_->replies.size(), 1U);
  EXPECT_EQ(std::get<SetValue>(state_->replies[0]).value, 9U);
  ASSERT_TRUE(mvmi_release(&vm_, MVMI_EVERY_VCPU, "cr_write:cr3", &error_));
}

TEST_F(CapiVcpusTest, AFreedEventProceedsAndNoneIsATimeout) {
  state_->pending.emplace_back(Caught<SingleStep>({}, VcpuId{0}, {}, state_, 1));
  mvmi_event_free(mvmi_next_event(&vm_, 1000, &error_));
  ASSERT_EQ(state_->replies.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Proceed>(state_->replies[0]));
  EXPECT_EQ(mvmi_next_event(&vm_, 0, &error_), nullptr);
  EXPECT_EQ(code(), "timed_out");
}

TEST_F(CapiVcpusTest, NullIsRefused) {
  EXPECT_FALSE(mvmi_read_registers(nullptr, 0, values_.data(), known_.data(), 1, nullptr));
  EXPECT_FALSE(mvmi_read_registers(&vm_, 0, nullptr, known_.data(), 1, nullptr));
  EXPECT_FALSE(mvmi_write_registers(&vm_, 0, values_.data(), nullptr, 1, nullptr));
  EXPECT_FALSE(mvmi_running(&vm_, nullptr, nullptr));
  EXPECT_FALSE(mvmi_space_of_vcpu(&vm_, 0, nullptr, nullptr));
  EXPECT_FALSE(mvmi_translate(&vm_, nullptr, 0, nullptr, nullptr));
  EXPECT_FALSE(mvmi_intercept(&vm_, 0, nullptr, nullptr));
  EXPECT_FALSE(mvmi_release(nullptr, 0, "cpuid", nullptr));
  EXPECT_EQ(mvmi_next_event(nullptr, 0, nullptr), nullptr);
  EXPECT_EQ(mvmi_event_kind(nullptr), nullptr);
  EXPECT_EQ(mvmi_event_field(nullptr, 0, nullptr), nullptr);
  EXPECT_FALSE(mvmi_event_reply(nullptr, "proceed", 0, nullptr));
  EXPECT_EQ(mvmi_vcpus(nullptr), 0U);
  mvmi_event_registers(nullptr, values_.data(), known_.data(), kCount);
  mvmi_event_free(nullptr);
}

}  // namespace
}  // namespace microvmi::test
