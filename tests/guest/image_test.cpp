// SPDX-License-Identifier: Apache-2.0
// Images that a real QEMU writes, and dumps of its guest, against pmemsave: byte for byte.
#include <gmock/gmock.h>

#include "microvmi/address_space.hpp"
#include "microvmi/dump.hpp"
#include "microvmi/init.hpp"
#include "support/qemu_registers.hpp"
#include "support/sizes.hpp"
#include "support/tiny_guest.hpp"

namespace microvmi::test {
namespace {

using Kind = MemoryRegion::Kind;

constexpr std::uint64_t kSize = 64 * kMiB;

class RealImageTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    MICROVMI_NEEDS_TINY_GUEST();
    auto guest = TinyGuest::boot({.machine = GetParam(), .memory = "64M", .args = {"-smp", "2"}});
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
    ASSERT_TRUE(guest_->qemu().stop());
  }

  void save(bool paging) {
    const auto done = guest_->qemu().truth().execute(
        "dump-guest-memory", {{"paging", paging}, {"protocol", "file:" + file_.string()}});
    ASSERT_TRUE(done) << done.error();
  }

  static std::expected<Vm, InitError> open(const std::filesystem::path& file,
                                           DumpFormat format = DumpFormat::detect) {
    const CoredumpParams params{.filepath = file, .format = format};
    return init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
  }

  std::expected<Vm, InitError> attach() {
    const auto pid = Pid::of(static_cast<std::uint32_t>(guest_->qemu().pid()));
    const QemuProcfsParams params{.pid = *pid};
    return init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
  }

  // Every page of the region, and how many of them differ.
  void expect_true(const Vm& vm, const MemoryRegion& region) {
    const auto truth = guest_->qemu().memory(to_integer(region.gpa), region.size);
    ASSERT_TRUE(truth) << truth.error();
    std::vector<std::byte> ours(region.size);
    const auto done = vm.memory().read(region.gpa, ours);
    ASSERT_TRUE(done) << done.error().message;
    std::size_t different = 0;
    for (std::size_t at = 0; at < ours.size(); at += kPageSize)
      different += std::equal(ours.begin() + static_cast<std::ptrdiff_t>(at),
                              ours.begin() + static_cast<std::ptrdiff_t>(at + kPageSize),
                              truth->begin() + static_cast<std::ptrdiff_t>(at))
                       ? 0
                       : 1;
    EXPECT_EQ(different, 0U) << "of " << region.size / kPageSize << " pages from " << std::hex
                             << to_integer(region.gpa);
  }

  TempFolder folder_;
  std::filesystem::path file_ = folder_.path() / "qemu.elf";
  std::unique_ptr<TinyGuest> guest_;
};

INSTANTIATE_TEST_SUITE_P(Machines, RealImageTest, testing::Values("pc", "q35"));

TEST_P(RealImageTest, ACoreOfQemuIsWhatPmemsaveSays) {
  save(false);
  const auto vm = open(file_);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->end_of_memory(), Gpa{kSize});
  EXPECT_EQ(vm->info().vcpus, 2U);
  const auto map = vm->memory().map();
  ASSERT_EQ(map->regions.size(), 2U);
  EXPECT_EQ(map->regions[0], (MemoryRegion{Gpa{0}, kSize}));
  EXPECT_EQ(map->regions[1].kind, Kind::rom);
  EXPECT_EQ(map->regions[1].end(), Gpa{1ULL << 32});
  for (const MemoryRegion& region : map->regions) expect_true(*vm, region);
}

TEST_P(RealImageTest, ACoreOfQemuHasTheRegistersOfInfoRegisters) {
  save(false);
  auto vm = open(file_);
  ASSERT_TRUE(vm) << vm.error().message;
  const auto truth = registers_of(guest_->qemu().truth());
  ASSERT_TRUE(truth) << truth.error();
  ASSERT_EQ(truth->size(), 2U);
  std::vector<std::string> names = segment_registers();
  for (const char* name :
       {"gdt_base", "gdt_limit", "idt_base", "idt_limit", "cr0", "cr2", "cr3", "cr4"})
    names.emplace_back(name);
  for (std::uint32_t vcpu = 0; vcpu < 2; ++vcpu) {
    // The second one waits in the firmware's 32-bit mode.
    EXPECT_EQ(differences(*vm->read_registers(VcpuId{vcpu}), (*truth)[vcpu],
                          general_registers(vcpu == 0)),
              "");
    const auto ours = vm->read_registers(VcpuId{vcpu});
    ASSERT_TRUE(ours) << ours.error().message;
    EXPECT_EQ(differences(*ours, (*truth)[vcpu], names), "") << "vCPU " << vcpu;
    EXPECT_FALSE((*ours)[Reg::efer]) << "a note of QEMU has none";
  }
  EXPECT_NE((*vm->read_registers(VcpuId{0}))[Reg::kernel_gs_base], std::nullopt);
  EXPECT_EQ(vm->write_registers(VcpuId{0}, {}).error().code, Errc::read_only);
  EXPECT_EQ(vm->read_registers(VcpuId{2}).error().code, Errc::not_found);
}

// Whose note has no EFER: that the vCPU is in 64-bit mode follows from its CS.
TEST_P(RealImageTest, ACoreOfQemuIsReadByVirtualAddressAsTheGuestMapsIt) {
  save(false);
  auto vm = open(file_);
  ASSERT_TRUE(vm) << vm.error().message;
  const auto space = AddressSpace::of(*vm->read_registers(VcpuId{0}));
  ASSERT_TRUE(space) << space.error().message;
  ASSERT_FALSE(guest_->truth().mappings.empty());
  for (const TinyMapping& one : guest_->truth().mappings) {
    const auto found = translate(vm->memory(), *space, Gva{one.gva});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->gpa, Gpa{one.gpa});
  }
}

TEST_P(RealImageTest, ACoreWithPagingHasWhatIsMapped) {
  save(true);
  const auto vm = open(file_);
  ASSERT_TRUE(vm) << vm.error().message;
  const auto map = vm->memory().map();
  ASSERT_FALSE(map->regions.empty());
  for (const MemoryRegion& region : map->regions) expect_true(*vm, region);
}

TEST_P(RealImageTest, OurOwnDumpOfTheGuestIsTheSameAgain) {
  auto live = attach();
  ASSERT_TRUE(live) << live.error().message;
  const auto file = folder_.path() / "ours.elf";
  const auto report = dump(*live, file);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->unreadable, 0U);
  const auto again = open(file);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->memory().map()->regions, live->memory().map()->regions);
  EXPECT_EQ(again->end_of_memory(), Gpa{kSize});
  for (const MemoryRegion& region : again->memory().map()->regions)
    if (region.kind == Kind::ram) expect_true(*again, region);
}

TEST_P(RealImageTest, OurOwnRawDumpOfTheGuestIsTheSameAgain) {
  auto live = attach();
  ASSERT_TRUE(live) << live.error().message;
  const auto file = folder_.path() / "ours.raw";
  ASSERT_TRUE(dump(*live, file, {.format = ImageFormat::raw}));
  EXPECT_EQ(std::filesystem::file_size(file), kSize);
  const auto again = open(file);
  ASSERT_TRUE(again) << again.error().message;
  for (const MemoryRegion& region : live->memory().map()->regions)
    if (region.end() <= Gpa{kSize}) expect_true(*again, region);
}

TEST_P(RealImageTest, AGuestThatIsKilledWhileItIsDumpedIsDisconnected) {
  auto live = attach();
  ASSERT_TRUE(live) << live.error().message;
  const auto file = folder_.path() / "ours.elf";
  bool is_first = true;
  const auto report = dump(*live, file, {.progress = [&](const DumpProgress&) {
    if (std::exchange(is_first, false)) guest_->qemu().kill();
  }});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::disconnected) << report.error().message;
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace microvmi::test
