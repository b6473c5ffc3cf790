// SPDX-License-Identifier: Apache-2.0
// Debian's kernel in QEMU: what it says of its own memory on the serial port is what we read.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <regex>

#include "microvmi/init.hpp"
#include "support/qemu_guest.hpp"

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kWords = kPageSize / sizeof(std::uint64_t);
constexpr std::uint64_t kMagic = 0x504D415453494D56;  // tests/guest/linux/stamp.c

// What stamp.c writes; the index of the page is for the guest to choose.
std::array<std::uint64_t, kWords> stamped(std::uint64_t gpa, std::uint64_t index) {
  std::array<std::uint64_t, kWords> page{kMagic, gpa, index};
  std::uint64_t x = gpa ^ kMagic;
  for (std::size_t i = 3; i < kWords; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    page[i] = x;
  }
  return page;
}

// The folder of the guest's kernel and initramfs; empty, with the reason, where it cannot be made.
std::string linux_guest(std::string& why_not) {
  std::FILE* script = ::popen("timeout 100 '" MICROVMI_LINUX_GUEST "' 2>&1", "r");
  if (!script) return why_not = "cannot run a shell", "";
  std::string said;
  std::array<char, 256> line{};
  while (std::fgets(line.data(), line.size(), script)) said = line.data();
  const bool ok = ::pclose(script) == 0;
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (!ok) why_not = said;
  return ok ? said : "";
}

struct Case {
  const char* name;
  QemuOptions options;
  const char* stamp_mib;
};

// For the name of the test; GoogleTest would print the bytes.
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class LinuxGuestTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    MICROVMI_NEEDS_QEMU();
    std::string why_not;
    const std::filesystem::path folder = linux_guest(why_not);
    if (folder.empty() && qemu_is_required()) FAIL() << why_not;
    if (folder.empty()) GTEST_SKIP() << why_not;
    QemuOptions options = GetParam().options;
    options.kernel = folder / "vmlinuz";
    options.args = {
        "-initrd", folder / "initramfs.gz", "-append",
        std::string("console=ttyS0 quiet panic=-1 microvmi.stamp=") + GetParam().stamp_mib};
    auto started = QemuGuest::start(options);
    ASSERT_TRUE(started) << started.error();
    guest_ = std::move(*started);
    const auto ready = guest_->wait_for_line("^guest: (ready|failed)", 150s);
    ASSERT_TRUE(ready) << ready.error() << guest_->complaints();
    ASSERT_THAT(*ready, testing::HasSubstr("ready"));
    DriverParams params;
    params.insert("memflow.connector", "qemu-procfs");
    params.insert("memflow.qemu-procfs.pid", std::to_string(guest_->pid()));
    auto vm = init(DriverType::memflow, params);
    ASSERT_TRUE(vm) << to_text(vm.error());
    vm_.emplace(std::move(*vm));
  }

  void check_stamped_pages();
  void check_map();
  void check_it_runs();

  // START and END of each line "guest: WHAT 0xSTART-0xEND" of the guest.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges(const std::string& what) const {
    const std::regex form("^guest: " + what + " 0x([0-9a-f]+)-0x([0-9a-f]+)");
    std::vector<std::pair<std::uint64_t, std::uint64_t>> found;
    for (const std::string& line : guest_->serial_lines())
      if (std::smatch m; std::regex_search(line, m, form))
        found.emplace_back(std::stoull(m[1], nullptr, 16), std::stoull(m[2], nullptr, 16));
    return found;
  }

  std::uint64_t address(const std::string& what) const {
    const std::regex form("^guest: " + what + " at 0x([0-9a-f]+)");
    for (const std::string& line : guest_->serial_lines())
      if (std::smatch m; std::regex_search(line, m, form)) return std::stoull(m[1], nullptr, 16);
    return 0;
  }

  std::unique_ptr<QemuGuest> guest_;
  std::optional<Vm> vm_;
};

// Whole, and at the address that the guest says.
void LinuxGuestTest::check_stamped_pages() {
  std::vector<std::uint64_t> page(kWords);
  std::size_t pages = 0;
  for (const auto& [start, end] : ranges("stamped")) {
    for (std::uint64_t gpa = start; gpa < end; gpa += kPageSize, ++pages) {
      const auto done = vm_->memory().read(Gpa{gpa}, std::as_writable_bytes(std::span(page)));
      ASSERT_TRUE(done) << to_text(done.error());
      const auto expected = stamped(gpa, page[2]);
      ASSERT_TRUE(std::equal(page.begin(), page.end(), expected.begin())) << std::hex << gpa;
    }
  }
  EXPECT_EQ(pages, std::stoul(GetParam().stamp_mib) * 256);
}

void LinuxGuestTest::check_map() {
  const auto map = vm_->memory().map();
  const auto told = ranges("ram");
  ASSERT_FALSE(told.empty());
  for (const auto& [first, last] : told) {
    const MemoryRegion* region = map->find(Gpa{first});
    ASSERT_NE(region, nullptr) << std::hex << first;
    EXPECT_GT(region->end(), Gpa{last}) << std::hex << first;
  }
  EXPECT_GT(vm_->end_of_memory(), Gpa{told.back().second});
}

void LinuxGuestTest::check_it_runs() {
  const Gpa counter{address("counter")};
  const auto before = vm_->memory().read_value<std::uint64_t>(counter);
  ASSERT_TRUE(before) << to_text(before.error());
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (vm_->memory().read_value<std::uint64_t>(counter).value_or(0) <= *before)
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "the counter stands still";
}

// One test for all, as a boot takes far longer than they do.
TEST_P(LinuxGuestTest, IsReadAsItSaysItself) {
  check_stamped_pages();
  check_map();
  check_it_runs();
}

INSTANTIATE_TEST_SUITE_P(
    Machines, LinuxGuestTest,
    testing::Values(
        Case{"pc", {.machine = "pc", .memory = "512M"}, "32"},
        Case{"q35", {.machine = "q35", .memory = "3G", .backend = RamBackend::memfd}, "64"}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace microvmi::test
