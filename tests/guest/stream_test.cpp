// SPDX-License-Identifier: Apache-2.0
// Migration streams that a real QEMU writes: every page against pmemsave, every register against
// info registers.
#include <gmock/gmock.h>

#include <thread>

#include "guest/live.hpp"
#include "support/qemu_registers.hpp"

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;

class RealStreamTest : public testing::TestWithParam<const char*> {
 protected:
  void boot(const char* memory, TinyOptions tiny) {
    MICROVMI_NEEDS_TINY_GUEST();
    auto guest = TinyGuest::boot({.machine = GetParam(), .memory = memory, .args = {"-smp", "2"}},
                                 std::move(tiny));
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
  }

  Outcome<void> migrate() {
    const auto begun = guest_->qemu().truth().execute(
        "migrate", {{"uri", "exec:exec cat > '" + file_.string() + "'"}});
    if (!begun) return std::unexpected(begun.error());
    for (const auto deadline = std::chrono::steady_clock::now() + 100s;
         std::chrono::steady_clock::now() < deadline; std::this_thread::sleep_for(20ms)) {
      const auto state = guest_->qemu().truth().execute("query-migrate");
      if (!state) return std::unexpected(state.error());
      const std::string status = state->value("status", "");
      if (status == "completed") return {};
      if (status == "failed") return std::unexpected(state->dump());
    }
    return std::unexpected("the migration took too long");
  }

  std::expected<Vm, InitError> open() {
    const CoredumpParams params{.filepath = file_};
    return init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
  }

  TempFolder folder_;
  std::filesystem::path file_ = folder_.path() / "stream";
  std::unique_ptr<TinyGuest> guest_;
};

INSTANTIATE_TEST_SUITE_P(Machines, RealStreamTest, testing::Values("pc", "q35", "microvm"));

TEST_P(RealStreamTest, EveryPageAndEveryRegister) {
  boot("64M", {});
  if (!guest_) return;
  ASSERT_TRUE(guest_->qemu().stop());
  const auto done = migrate();
  ASSERT_TRUE(done) << done.error();
  auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->end_of_memory(), Gpa{64 * kMiB});
  EXPECT_TRUE(map_is_that_of_qemu(guest_->qemu(), *vm, Shadow::unknown));
  for (const MemoryRegion& region : vm->memory().map()->regions)
    EXPECT_TRUE(same_as_qemu(guest_->qemu(), *vm, region.gpa, region.size));
  EXPECT_TRUE(all_stamps_are_read(*guest_, *vm));
  EXPECT_EQ(vm->info().vcpus, 2U);
  const auto truth = registers_of(guest_->qemu().truth());
  ASSERT_TRUE(truth) << truth.error();
  std::vector<std::string> names = segment_registers();
  for (const char* name : {"gdt_base", "gdt_limit", "idt_base", "idt_limit", "cr0", "cr2", "cr3",
                           "cr4", "efer", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7"})
    names.emplace_back(name);
  for (std::uint32_t vcpu = 0; vcpu < 2; ++vcpu) {
    const auto ours = vm->read_registers(VcpuId{vcpu});
    ASSERT_TRUE(ours) << ours.error().message;
    EXPECT_EQ(differences(*ours, (*truth)[vcpu], names), "") << "vCPU " << vcpu;
    EXPECT_EQ(differences(*ours, (*truth)[vcpu], general_registers(vcpu == 0)), "");
  }
  // What no monitor tells the guest itself does.
  const auto ours = vm->read_registers(VcpuId{0});
  for (const char* name : {"star", "lstar", "cstar", "fmask", "kernel_gs_base", "sysenter_cs",
                           "sysenter_esp", "sysenter_eip", "pat"}) {
    const auto said = guest_->truth().registers.find(name);
    if (said == guest_->truth().registers.end()) continue;
    EXPECT_EQ(differences(*ours, {*said}, {name}), "");
  }
}

TEST_P(RealStreamTest, OfARunningGuestTheLastCopyOfEachPageCounts) {
  boot("64M", {});
  if (!guest_) return;
  const auto done = migrate();  // which stops it at the end
  ASSERT_TRUE(done) << done.error();
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  for (const MemoryRegion& region : vm->memory().map()->regions)
    EXPECT_TRUE(same_as_qemu(guest_->qemu(), *vm, region.gpa, region.size));
}

TEST_P(RealStreamTest, MemoryAboveFourGiB) {
  boot("4G", {.stride = 4096});
  if (!guest_) return;
  ASSERT_TRUE(guest_->qemu().stop());
  const auto done = migrate();
  ASSERT_TRUE(done) << done.error();
  const auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_TRUE(map_is_that_of_qemu(guest_->qemu(), *vm, Shadow::unknown));
  EXPECT_GT(vm->end_of_memory(), Gpa{4 * kGiB});
  for (const MemoryRegion& region : vm->memory().map()->regions)
    EXPECT_TRUE(samples_same_as_qemu(guest_->qemu(), *vm, region));
  EXPECT_TRUE(all_stamps_are_read(*guest_, *vm));
}

}  // namespace
}  // namespace microvmi::test
