// SPDX-License-Identifier: Apache-2.0
// Dumps one after the other: each is what the VMM itself reads in its guest's memory at that
// moment.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "host/linux/write_watch.hpp"
#include "kvm/machine.hpp"
#include "microvmi/dump.hpp"
#include "support/temp_folder.hpp"

namespace microvmi {
namespace {

class KvmSeriesTest : public test::KvmMachineTest {
 protected:
  void begin() {
    start({"vcpus=2"});
    if (!guest_) return;
    if (!host::has_soft_dirty() && !host::has_write_protection())
      GTEST_SKIP() << "this kernel has neither soft-dirty bits nor UFFD_FEATURE_WP_ASYNC";
    open(Intrusive::inject);
  }

  static Vm image(const std::filesystem::path& file, ImageFormat format) {
    const CoredumpParams params{
        .filepath = file,
        .format = format == ImageFormat::raw ? DumpFormat::raw : DumpFormat::detect};
    auto vm = init(DriverType::memflow,
                   DriverInitParams{.memflow = MemflowInitParams{.args = ConnectorArgs(params)}});
    if (!vm) throw std::runtime_error(vm.error().message);
    return *std::move(vm);
  }

  // The front of each region, slot 9 among them, against what the VMM reads.
  void expect_whole(const std::filesystem::path& file, ImageFormat format) {
    Vm dumped = image(file, format);
    const auto map = guest_->memory_map();
    ASSERT_TRUE(map) << map.error();
    const Gpa end = vm_->end_of_memory();
    for (const MemoryRegion& one : *map) {
      if (format == ImageFormat::raw && one.gpa >= end) continue;
      std::vector<std::byte> bytes(std::min<std::uint64_t>(one.size, 256 << 10));
      ASSERT_TRUE(dumped.memory().read(one.gpa, bytes)) << to_integer(one.gpa);
      const auto truth = guest_->memory(to_integer(one.gpa), bytes.size());
      ASSERT_TRUE(truth) << truth.error();
      EXPECT_TRUE(bytes == *truth) << name_of(format) << " at " << to_integer(one.gpa);
    }
  }

  // The guest runs between two dumps of the series, and its VMM changes things.
  void change(std::uint64_t round) {
    ASSERT_TRUE(vm_->resume());
    EXPECT_TRUE(guest_->undisturbed());
    ask("remap 9");
    const std::uint64_t still = guest_->truth()["still"];
    ASSERT_TRUE(vm_->memory().write_value(Gpa{still + round * kPageSize}, round));
    ASSERT_TRUE(vm_->pause());
  }

  test::TempFolder folder_;
};

TEST_F(KvmSeriesTest, EachDumpIsWholeInEveryFormat) {
  begin();
  if (!vm_) return;
  for (const ImageFormat format :
       {ImageFormat::raw, ImageFormat::elf, ImageFormat::lime, ImageFormat::kdump_zlib}) {
    ASSERT_TRUE(vm_->pause());
    auto series = DumpSeries::begin(*vm_);
    ASSERT_TRUE(series) << to_text(series.error());
    for (std::uint64_t round = 0; round < (format == ImageFormat::elf ? 3 : 2); ++round) {
      // The same name again: the file before is replaced, and still serves.
      const std::filesystem::path file = folder_.path() / "guest.image";
      const auto report = series->next(file, {.format = format, .sync = false});
      ASSERT_TRUE(report) << to_text(report.error());
      const std::uint64_t moved = (256 + 4 + 4) << 10;  // slot 9, the counters, one page of ours
      EXPECT_EQ(report->reused, round == 0 ? 0 : report->bytes - moved) << round;
      expect_whole(file, format);
      change(round);
    }
    ASSERT_TRUE(vm_->resume());
  }
  EXPECT_TRUE(guest_->undisturbed());
}

// What it prints, and how it ends.
std::pair<std::string, int> output_of(const std::string& command) {
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (!pipe) return {"", -1};
  std::string text;
  std::array<char, 4096> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe)) text += buffer.data();
  return {text, ::pclose(pipe)};
}

TEST_F(KvmSeriesTest, TheToolTellsWhatAMissingPidCouldBe) {
  begin();
  if (!vm_) return;
  const auto [text, status] =
      output_of(std::string(MICROVMI_TOOL) + " info --memflow-connector kvm 2>&1");
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_THAT(text, testing::HasSubstr("memflow.kvm.pid is required; running: "));
  EXPECT_THAT(text, testing::HasSubstr(std::to_string(guest_->pid()) + " ("));
}

TEST_F(KvmSeriesTest, TheToolNumbersItsFiles) {
  begin();
  if (!vm_) return;
  vm_.reset();
  const std::string command =
      std::string(MICROVMI_TOOL) + " dump --memflow-kvm-pid " + std::to_string(guest_->pid()) +
      " --memflow-kvm-intrusive inject --format raw --every 50ms --count 3 --json -o " +
      (folder_.path() / "mem.raw").string() + " 2>" + (folder_.path() / "notes").string();
  const auto [text, status] = output_of(command);
  ASSERT_EQ(status, 0) << text;
  std::istringstream lines(text);
  std::string line;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(std::getline(lines, line)) << text;
    const auto report = nlohmann::json::parse(line);
    const std::string name = "mem." + std::to_string(i) + ".raw";
    EXPECT_EQ(report["file"], (folder_.path() / name).string());
    EXPECT_EQ(report["reused"] == 0, i == 1);
    EXPECT_EQ(std::filesystem::file_size(folder_.path() / name), report["file_size"]);
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
  std::ifstream file(folder_.path() / "notes");
  const std::string notes(std::istreambuf_iterator<char>(file), {});
  EXPECT_THAT(notes, testing::Not(testing::HasSubstr("no guest is named")));
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmSeriesTest, NeedsADriverThatTellsWrittenPages) {
  begin();
  if (!vm_ || host::has_soft_dirty()) return;
  open(Intrusive::sync_regs);
  const auto refused = DumpSeries::begin(*vm_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_supported);
  EXPECT_THAT(refused.error().hint, testing::HasSubstr("inject"));
}

}  // namespace
}  // namespace microvmi
