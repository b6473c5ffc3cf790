// SPDX-License-Identifier: Apache-2.0
// What other tools get wrong about a guest's memory, each as a test.
#include <fstream>
#include <random>

#include "guest/live.hpp"

namespace microvmi::test {
namespace {

class PastTheEndTest : public testing::TestWithParam<Monitor> {};

// The biggest mapping of such a QEMU is not its guest's RAM, and what follows RAM in QEMU's own
// address space is QEMU's own memory.
TEST_P(PastTheEndTest, QemusOwnMemoryIsNeverShown) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "1G", .monitor = GetParam(), .started = false});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid((*guest)->pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_EQ(vm->end_of_memory(), Gpa{kGiB});
  const auto refused = [&](Gpa gpa) {
    std::vector<std::byte> bytes(64, std::byte{0x5A});
    std::vector<ReadRequest> batch{{.gpa = gpa, .into = bytes}};
    vm->memory().read(batch);
    return batch[0].status == Errc::hole && batch[0].done == 0 && batch[0].failed_at == gpa &&
           bytes == std::vector<std::byte>(64, std::byte{0x5A});
  };
  for (std::uint64_t gpa = kGiB; gpa < 0xFEC00000; gpa += 4 * kMiB)
    ASSERT_TRUE(refused(Gpa{gpa})) << std::hex << gpa;
  for (const std::uint64_t gpa : {0x40000000ULL, 0x40001000ULL, 0x50000000ULL, 0x7FFFF000ULL})
    EXPECT_TRUE(refused(Gpa{gpa})) << std::hex << gpa;
  for (std::uint64_t gpa = 4 * kGiB; gpa != 0; gpa <<= 1)
    EXPECT_TRUE(refused(Gpa{gpa})) << std::hex << gpa;
  EXPECT_FALSE(vm->memory().view(Gpa{kGiB}, 1));
}

TEST_P(PastTheEndTest, AReadAcrossTheEndStopsThere) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "64M", .monitor = GetParam(), .started = false});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid((*guest)->pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  std::vector<std::byte> bytes(2 * kPageSize, std::byte{0x5A});
  std::vector<ReadRequest> batch{{.gpa = Gpa{64 * kMiB - kPageSize}, .into = bytes}};
  vm->memory().read(batch);
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].done, kPageSize);
  EXPECT_EQ(batch[0].failed_at, Gpa{64 * kMiB});
  EXPECT_EQ(bytes[kPageSize], std::byte{0x5A});
  EXPECT_FALSE(vm->memory().read(batch[0].gpa, bytes));
}

INSTANTIATE_TEST_SUITE_P(Monitors, PastTheEndTest,
                         testing::Values(Monitor::absolute, Monitor::none), [](const auto& one) {
                           return one.param == Monitor::none ? "without" : "with";
                         });

// Biggest mapping of a process by what /proc/PID/maps says.
std::pair<std::uint64_t, std::string> biggest_mapping(pid_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  std::pair<std::uint64_t, std::string> biggest;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    char dash = 0;
    std::string access;
    fields >> std::hex >> start >> dash >> end >> access;
    biggest = std::max(biggest, {end - start, access});
  }
  return biggest;
}

TEST(MistakesTest, ACodeBufferBiggerThanRamIsNotTaken) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot(
      {.memory = "128M", .monitor = Monitor::none, .args = {"-accel", "tcg,tb-size=512"}});
  ASSERT_TRUE(guest) << guest.error();
  const auto [size, access] = biggest_mapping((*guest)->qemu().pid());
  ASSERT_GT(size, 128 * kMiB) << "no such buffer: this test tests nothing";
  const auto vm = open_pid((*guest)->qemu().pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_EQ(vm->end_of_memory(), Gpa{128 * kMiB});
  EXPECT_TRUE(all_stamps_are_read(**guest, *vm));
}

struct Spelling {
  const char* name;
  QemuOptions options;
};

void PrintTo(const Spelling& one, std::ostream* out) { *out << one.name; }

class SpellingTest : public testing::TestWithParam<Spelling> {};

TEST_P(SpellingTest, IsUnderstoodWithAndWithoutTheMonitor) {
  MICROVMI_NEEDS_TINY_GUEST();
  for (const Monitor monitor : {Monitor::absolute, Monitor::none}) {
    QemuOptions options = GetParam().options;
    options.monitor = monitor;
    const auto guest = TinyGuest::boot(options);
    ASSERT_TRUE(guest) << guest.error();
    const auto vm = open_pid((*guest)->qemu().pid());
    ASSERT_TRUE(vm) << to_text(vm.error());
    EXPECT_TRUE(map_is_that_of_qemu((*guest)->qemu(), *vm,
                                    monitor == Monitor::none ? Shadow::unknown : Shadow::known));
    EXPECT_TRUE(all_stamps_are_read(**guest, *vm));
  }
}

INSTANTIATE_TEST_SUITE_P(
    CommandLines, SpellingTest,
    testing::Values(
        Spelling{"backend_pc_ram",
                 {.memory = "64M", .backend = RamBackend::memfd, .backend_id = "pc.ram"}},
        Spelling{"backend_odd_id",
                 {.memory = "64M", .backend = RamBackend::ram, .backend_id = "W.eird-Id_0"}},
        Spelling{"backend_file_odd_id",
                 {.memory = "64M", .backend = RamBackend::file, .backend_id = "size"}},
        Spelling{"machine_short", {.machine = "q35", .machine_option = "-M", .memory = "64M"}},
        Spelling{"machine_type", {.machine = "type=q35", .memory = "64M"}},
        Spelling{"machine_type_last",
                 {.machine = "usb=off,type=q35,max-ram-below-4g=32M", .memory = "64M"}},
        Spelling{"machine_two_dashes",
                 {.machine = "q35", .machine_option = "--machine", .memory = "64M"}},
        Spelling{"machine_with_version", {.machine = "pc-i440fx-7.2", .memory = "64M"}},
        Spelling{"memory_size_is", {.memory = "size=64M"}},
        Spelling{"memory_in_mebibytes", {.memory = "64"}},
        Spelling{"memory_by_default", {.memory = ""}},
        Spelling{"split_low", {.machine = "pc,max-ram-below-4g=32M", .memory = "64M"}}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(MistakesTest, AMonitorHeldByAnotherClientIsDoneWithout) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M"});
  ASSERT_TRUE(guest) << guest.error();
  auto holder = QmpTruth::connect((*guest)->qemu().qmp_path());
  ASSERT_TRUE(holder) << holder.error();
  {
    auto vm = open_pid((*guest)->qemu().pid());
    ASSERT_TRUE(vm) << to_text(vm.error());
    EXPECT_TRUE(map_is_that_of_qemu((*guest)->qemu(), *vm, Shadow::unknown));
    EXPECT_TRUE(all_stamps_are_read(**guest, *vm));
    EXPECT_FALSE(vm->pause()) << "through a monitor that another holds";
  }
  EXPECT_TRUE(holder->execute("query-status")) << "the other client was disturbed";
  holder->close();
  auto vm = open_pid((*guest)->qemu().pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_TRUE(can(*vm, Capability::run_control)) << "it is free again";
}

TEST(MistakesTest, ARelativeSocketIsFoundFromQemusOwnFolder) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "64M", .monitor = Monitor::relative});
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_pid((*guest)->pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  ASSERT_TRUE(can(*vm, Capability::run_control));
  ASSERT_TRUE(vm->pause());
  EXPECT_FALSE((*guest)->running().value_or(true));
}

TEST(MistakesTest, NoMonitorAtAll) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M", .monitor = Monitor::none, .truth = false});
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_pid((*guest)->qemu().pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_TRUE(all_stamps_are_read(**guest, *vm));
  EXPECT_FALSE(can(*vm, Capability::run_control));
  const auto paused = vm->pause();
  EXPECT_EQ(paused.error().code, Errc::not_supported);
  EXPECT_THAT(paused.error().hint, testing::HasSubstr("-qmp unix:"));
}

TEST(MistakesTest, AGuestBeforeItsFirstInstruction) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.machine = "q35", .memory = "64M", .started = false});
  ASSERT_TRUE(guest) << guest.error();
  QemuGuest& qemu = **guest;
  {
    auto vm = open_pid(qemu.pid());
    ASSERT_TRUE(vm) << to_text(vm.error());
    EXPECT_TRUE(map_is_that_of_qemu(qemu, *vm));
    for (const MemoryRegion& region : vm->memory().map()->regions)
      EXPECT_TRUE(same_as_qemu(qemu, *vm, region.gpa, region.size));
    ASSERT_TRUE(vm->pause());
  }
  EXPECT_FALSE(qemu.running().value_or(true)) << "closing has started it";
}

TEST(MistakesTest, AGuestFoundPausedStaysPaused) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M"});
  ASSERT_TRUE(guest) << guest.error();
  ASSERT_TRUE((*guest)->qemu().stop());
  {
    auto vm = open_pid((*guest)->qemu().pid());
    ASSERT_TRUE(vm) << to_text(vm.error());
    EXPECT_TRUE(all_stamps_are_read(**guest, *vm));
    ASSERT_TRUE(vm->pause());
    ASSERT_TRUE(vm->resume());
    EXPECT_FALSE((*guest)->qemu().running().value_or(true));
  }
  EXPECT_FALSE((*guest)->qemu().running().value_or(true));
}

TEST(MistakesTest, GoodAndBadInOneBatch) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M"}, {.stride = 1});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid((*guest)->qemu().pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  std::array<Page, 5> into{};
  const std::array<std::uint64_t, 5> where{16 * kMiB, 0x50000000, 17 * kMiB, ~0ULL - 0xFFF,
                                           32 * kMiB};
  std::vector<ReadRequest> batch;
  for (std::size_t i = 0; i < where.size(); ++i)
    batch.push_back({.gpa = Gpa{where[i]}, .into = into[i]});
  vm->memory().read(batch);
  for (const std::size_t good : {0U, 2U, 4U}) {
    EXPECT_EQ(batch[good].status, Errc::none) << good;
    EXPECT_EQ(into[good], (*guest)->page_at(where[good])) << good;
  }
  for (const std::size_t bad : {1U, 3U}) {
    EXPECT_EQ(batch[bad].status, Errc::hole) << bad;
    EXPECT_EQ(into[bad], Page{}) << bad;
  }
}

}  // namespace
}  // namespace microvmi::test
