// SPDX-License-Identifier: Apache-2.0
// The map of every machine as QEMU prints it; gpa2hva, asked by the tests' own client, says whether
// it was read rightly.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qemu/mtree.hpp"
#include "qemu/query.hpp"
#include "support/qemu_guest.hpp"

namespace microvmi::qemu {
namespace {

using Kind = FlatRange::Kind;
using test::QemuGuest;
using test::QemuOptions;
using test::RamBackend;

struct Machine {
  const char* name;
  const char* program = test::kQemu;
  QemuOptions options{};
};

std::ostream& operator<<(std::ostream& out, const Machine& machine) { return out << machine.name; }

QemuOptions options(std::string machine, std::string memory, std::vector<std::string> args = {}) {
  return {.machine = std::move(machine),
          .memory = std::move(memory),
          .monitor = test::Monitor::none,
          .started = false,
          .args = std::move(args)};
}

QemuOptions backed(RamBackend backend, std::string id, QemuOptions out) {
  out.backend = backend;
  out.backend_id = std::move(id);
  return out;
}

// What gpa2hva says, or nullopt where it finds no memory.
std::optional<HostAddress> truth_at(QemuGuest& guest, Gpa gpa) {
  const auto text = guest.truth().human(fmt::format("gpa2hva {:#x}", to_integer(gpa)));
  EXPECT_TRUE(text) << text.error();
  const auto found = text ? parse_gpa2hva(*text, gpa) : fail(Errc::io, "");
  return found ? std::optional(*found) : std::nullopt;
}

// First and last page of a range lie where one block with one offset says.
void expect_true(QemuGuest& guest, const FlatRange& range) {
  const auto first = truth_at(guest, range.gpa);
  const auto last = truth_at(guest, range.gpa + (range.size - kPageSize));
  ASSERT_TRUE(first && last) << range.region;
  EXPECT_EQ(first->region, range.region);
  EXPECT_EQ(last->region, range.region);
  EXPECT_EQ(last->hva - first->hva, range.size - kPageSize);
}

class MtreeLiveTest : public testing::TestWithParam<Machine> {
 protected:
  void SetUp() override {
    MICROVMI_NEEDS_QEMU();
    QemuOptions wanted = GetParam().options;
    const auto program = test::find_program(GetParam().program);
    if (!program) GTEST_SKIP() << GetParam().program << " is not installed";
    wanted.program = *program;
    auto started = QemuGuest::start(wanted);
    ASSERT_TRUE(started) << started.error();
    guest_ = *std::move(started);
    auto ranges = parse_mtree(guest_->truth().human("info mtree -f").value_or(""));
    ASSERT_TRUE(ranges) << to_text(ranges.error());
    ranges_ = *std::move(ranges);
    auto backends = parse_memdev(ask("query-memdev"));
    ASSERT_TRUE(backends) << to_text(backends.error());
    backends_ = *std::move(backends);
    std::vector<std::string> ids;
    for (const MemoryBackend& backend : backends_) ids.push_back(backend.id);
    ram_ = guest_ranges(ranges_, ids);
    ASSERT_FALSE(ram_.empty());
  }

  nlohmann::json ask(const char* command) {
    return guest_->truth().execute(command).value_or(nlohmann::json());
  }

  std::unique_ptr<QemuGuest> guest_;
  std::vector<FlatRange> ranges_;
  std::vector<FlatRange> ram_;
  std::vector<MemoryBackend> backends_;
};

TEST_P(MtreeLiveTest, EveryRangeIsWhereGpa2hvaFindsIt) {
  for (const FlatRange& range : ram_) expect_true(*guest_, range);
  for (const FlatRange& range : ranges_)
    EXPECT_EQ(truth_at(*guest_, range.gpa).has_value(), range.kind != Kind::io) << range.region;
  const auto after = truth_at(*guest_, ram_.back().end());
  EXPECT_TRUE(!after || after->region != ram_.back().region);
}

// All of it but what the firmware hides, which is 0xA0000 to 0xFFFFF at most.
TEST_P(MtreeLiveTest, TheRangesAddUpToWhatQemuSaysItHas) {
  const auto sizes = parse_memory_sizes(ask("query-memory-size-summary"));
  ASSERT_TRUE(sizes);
  std::uint64_t total = 0;
  for (const FlatRange& range : ram_) total += range.size;
  const std::uint64_t has = sizes->base + sizes->plugged;
  EXPECT_LE(total, has);
  EXPECT_GE(total + 0x60000, has);
}

TEST_P(MtreeLiveTest, NoRangeIsLongerThanItsBackend) {
  for (const MemoryBackend& backend : backends_)
    for (const FlatRange& range : ram_) {
      if (!is_region_of(range.region, backend.id)) continue;
      EXPECT_LE(range.offset + range.size, backend.size);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Machines, MtreeLiveTest,
    testing::Values(
        Machine{.name = "pc", .options = options("pc", "512M")},
        Machine{.name = "pc_5g", .options = options("pc", "5G")},
        Machine{.name = "q35_5g_vga", .options = options("q35", "5G", {"-vga", "std"})},
        Machine{.name = "isapc", .options = options("isapc", "256M")},
        Machine{.name = "microvm", .options = options("microvm", "4G")},
        Machine{.name = "odd_id",
                .options = backed(RamBackend::memfd, "odd.na_me-1", options("pc", "512M"))},
        Machine{.name = "canonical_path",
                .options = backed(RamBackend::memfd, "mem0", options("pc-i440fx-3.1", "512M"))},
        Machine{.name = "numa",
                .options = options("pc", "4G",
                                   {"-object", "memory-backend-ram,id=n0,size=3G", "-object",
                                    "memory-backend-memfd,id=n1,size=1G", "-numa", "node,memdev=n0",
                                    "-numa", "node,memdev=n1"})},
        Machine{.name = "dimm",
                .options = options("q35", "1G,slots=2,maxmem=4G",
                                   {"-object", "memory-backend-ram,id=d0,size=1G", "-device",
                                    "pc-dimm,memdev=d0,id=dimm0"})},
        Machine{.name = "aarch64",
                .program = "qemu-system-aarch64",
                .options = options("virt", "512M", {"-cpu", "cortex-a57"})},
        Machine{.name = "riscv64",
                .program = "qemu-system-riscv64",
                .options = options("virt", "512M")}),
    [](const auto& machine) { return std::string(machine.param.name); });

}  // namespace
}  // namespace microvmi::qemu
