// SPDX-License-Identifier: Apache-2.0
// Memory of live guests, byte for byte against QEMU's own pmemsave and against the guest's stamps.
#include "guest/live.hpp"

namespace microvmi::test {
namespace {

struct Case {
  const char* name;
  const char* machine;
  const char* memory;
  RamBackend backend = RamBackend::anonymous;
  Monitor monitor = Monitor::absolute;
  std::vector<std::string> args{};
  bool whole = false;  // every byte, not samples
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

const std::vector<std::string> kTwoNodes{"-object", "memory-backend-ram,id=left,size=256M",
                                         "-object", "memory-backend-memfd,id=right,size=256M",
                                         "-numa",   "node,nodeid=0,memdev=left",
                                         "-numa",   "node,nodeid=1,memdev=right"};
const std::vector<std::string> kTwoNodesOf5G{"-object", "memory-backend-memfd,id=left,size=1G",
                                             "-object", "memory-backend-ram,id=right,size=4G",
                                             "-numa",   "node,nodeid=0,memdev=left",
                                             "-numa",   "node,nodeid=1,memdev=right"};

class MemoryTruthTest : public testing::TestWithParam<Case> {};

TEST_P(MemoryTruthTest, EveryByteIsTheGuests) {
  MICROVMI_NEEDS_TINY_GUEST();
  const Case& one = GetParam();
  const bool big = one.memory == std::string("5G");
  QemuOptions options{.machine = one.machine,
                      .memory = one.memory,
                      .backend = one.backend,
                      .monitor = one.monitor,
                      .args = one.args};
  if (options.machine == "isapc") options.args = {"-cpu", "qemu64"};
  // A prime, so that a guest page and its neighbour at a power of two are never both stamped.
  const auto guest = TinyGuest::boot(options, {.stride = big ? 1031U : 7U});
  ASSERT_TRUE(guest) << guest.error();
  QemuGuest& qemu = (*guest)->qemu();
  ASSERT_TRUE(qemu.stop());
  const auto vm = open_pid(qemu.pid());
  ASSERT_TRUE(vm) << to_text(vm.error());

  EXPECT_TRUE(map_is_that_of_qemu(qemu, *vm,
                                  one.monitor == Monitor::none ? Shadow::unknown : Shadow::known));
  EXPECT_TRUE(all_stamps_are_read(**guest, *vm));
  for (const MemoryRegion& region : vm->memory().map()->regions)
    EXPECT_TRUE(one.whole ? same_as_qemu(qemu, *vm, region.gpa, region.size)
                          : samples_same_as_qemu(qemu, *vm, region));
}

INSTANTIATE_TEST_SUITE_P(
    Guests, MemoryTruthTest,
    testing::Values(
        Case{.name = "pc_512M_anonymous", .machine = "pc", .memory = "512M", .whole = true},
        Case{.name = "q35_512M_memfd",
             .machine = "q35",
             .memory = "512M",
             .backend = RamBackend::memfd,
             .whole = true},
        Case{.name = "pc_512M_file",
             .machine = "pc",
             .memory = "512M",
             .backend = RamBackend::file,
             .whole = true},
        Case{.name = "q35_512M_file_private",
             .machine = "q35",
             .memory = "512M",
             .backend = RamBackend::file_private,
             .whole = true},
        Case{.name = "pc_512M_mem_path",
             .machine = "pc",
             .memory = "512M",
             .backend = RamBackend::mem_path},
        Case{.name = "q35_512M_two_nodes", .machine = "q35", .memory = "512M", .args = kTwoNodes},
        Case{.name = "q35_512M_no_monitor",
             .machine = "q35",
             .memory = "512M",
             .monitor = Monitor::none},
        Case{.name = "pc_512M_no_monitor_memfd",
             .machine = "pc",
             .memory = "512M",
             .backend = RamBackend::memfd,
             .monitor = Monitor::none},
        Case{.name = "pc_5G_anonymous", .machine = "pc", .memory = "5G"},
        Case{
            .name = "q35_5G_memfd", .machine = "q35", .memory = "5G", .backend = RamBackend::memfd},
        Case{.name = "q35_5G_file", .machine = "q35", .memory = "5G", .backend = RamBackend::file},
        Case{.name = "pc_5G_file_private",
             .machine = "pc",
             .memory = "5G",
             .backend = RamBackend::file_private},
        Case{.name = "pc_5G_no_monitor", .machine = "pc", .memory = "5G", .monitor = Monitor::none},
        Case{.name = "q35_5G_two_nodes_no_monitor",
             .machine = "q35",
             .memory = "5G",
             .monitor = Monitor::none,
             .args = kTwoNodesOf5G},
        Case{.name = "microvm_512M", .machine = "microvm", .memory = "512M"},
        Case{.name = "isapc_512M_no_monitor",
             .machine = "isapc",
             .memory = "512M",
             .monitor = Monitor::none}),
    [](const auto& one) { return std::string(one.param.name); });

class DimmTest : public testing::TestWithParam<Monitor> {};

TEST_P(DimmTest, APluggedDimmIsThereAfterRefresh) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot(
      {.machine = "q35", .memory = "512M,slots=2,maxmem=4G", .monitor = GetParam()});
  ASSERT_TRUE(guest) << guest.error();
  QemuGuest& qemu = (*guest)->qemu();
  auto vm = open_pid(qemu.pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_TRUE(map_is_that_of_qemu(qemu, *vm));
  const auto before = vm->memory().map();
  constexpr Gpa kDimm{4 * kGiB};  // where the first one goes on a machine with less than that
  EXPECT_FALSE(vm->memory().read_value<std::uint64_t>(kDimm));

  const auto plugged = qemu.plug_dimm("dimm0", 256 * kMiB);
  ASSERT_TRUE(plugged) << plugged.error();
  const auto stamped = (*guest)->stamp(to_integer(kDimm), 256 * kMiB);
  ASSERT_TRUE(stamped) << stamped.error();
  const auto refreshed = vm->memory().refresh();
  ASSERT_TRUE(refreshed) << to_text(refreshed.error());
  EXPECT_GT(vm->memory().map()->generation, before->generation);
  EXPECT_TRUE(map_is_that_of_qemu(qemu, *vm));
  EXPECT_EQ(vm->end_of_memory(), kDimm + 256 * kMiB);
  EXPECT_TRUE(stamps_are_read(**guest, *vm, *stamped));
  EXPECT_TRUE(all_stamps_are_read(**guest, *vm));
  EXPECT_EQ(before->end_of_memory(), Gpa{512 * kMiB}) << "the snapshot has changed";

  const auto later = open_pid(qemu.pid());
  ASSERT_TRUE(later) << to_text(later.error());
  EXPECT_TRUE(map_is_that_of_qemu(qemu, *later));
  EXPECT_TRUE(stamps_are_read(**guest, *later, *stamped));
}

INSTANTIATE_TEST_SUITE_P(Monitors, DimmTest, testing::Values(Monitor::absolute),
                         [](const auto&) { return std::string("with_monitor"); });

TEST(WriteTruthTest, TheGuestSeesWhatIsWritten) {
  MICROVMI_NEEDS_TINY_GUEST();
  for (const RamBackend backend :
       {RamBackend::anonymous, RamBackend::memfd, RamBackend::file_private}) {
    const auto guest = TinyGuest::boot({.memory = "128M", .backend = backend});
    ASSERT_TRUE(guest) << guest.error();
    auto vm = open_pid((*guest)->qemu().pid());
    ASSERT_TRUE(vm) << to_text(vm.error());
    const Gpa gpa{48 * kMiB + 8};
    const auto written = vm->memory().write_value(gpa, std::uint64_t{0x1122334455667788});
    ASSERT_TRUE(written) << to_text(written.error());
    EXPECT_EQ((*guest)->peek(to_integer(gpa)).value_or(0), 0x1122334455667788U) << name_of(backend);
    const auto neighbour = (*guest)->peek(to_integer(gpa) + 8);
    EXPECT_NE(neighbour.value_or(1), 0x1122334455667788U);
  }
}

TEST(WriteTruthTest, ACounterThatGrowsIsSeenGrowing) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "128M"});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid((*guest)->qemu().pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  const Gpa counter{(*guest)->truth().counter};
  const std::uint64_t early = (*guest)->peek(to_integer(counter)).value_or(~0ULL);
  const std::uint64_t ours = vm->memory().read_value<std::uint64_t>(counter).value_or(0);
  const std::uint64_t late = (*guest)->peek(to_integer(counter)).value_or(0);
  EXPECT_GE(ours, early);
  EXPECT_LE(ours, late);
}

}  // namespace
}  // namespace microvmi::test
