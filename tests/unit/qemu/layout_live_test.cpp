// SPDX-License-Identifier: Apache-2.0
// The layout from the command line alone against what the QEMU that is installed tells: region by
// region, and each region's place in the process. The truth is read by a parser of this file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

#include "qemu/layout_finder.hpp"
#include "support/qemu_guest.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;
using test::Outcome;
using test::QemuGuest;
using test::QemuOptions;
using test::QmpTruth;
using test::RamBackend;

struct Region {
  std::uint64_t gpa;
  std::uint64_t size;
  std::uint64_t hva;
  bool operator==(const Region&) const = default;
};

void PrintTo(const Region& one, std::ostream* out) {
  *out << std::hex << one.gpa << '+' << one.size << " at " << one.hva;
}

std::uint64_t hex(const std::string& text) { return std::stoull(text, nullptr, 16); }

// Where QEMU has this guest address: "Host virtual address for 0x0 (pc.ram) is 0x7f..."
Outcome<std::uint64_t> hva_of(QmpTruth& truth, std::uint64_t gpa) {
  std::ostringstream command;
  command << "gpa2hva 0x" << std::hex << gpa;
  const auto text = truth.human(command.str());
  if (!text) return std::unexpected(text.error());
  std::smatch found;
  if (!std::regex_search(*text, found, std::regex(" is (0x[0-9a-f]+)")))
    return std::unexpected(*text);
  return hex(found[1]);
}

// The RAM ranges of the view of `system` that lie in memory backends.
Outcome<std::vector<Region>> regions_of(QmpTruth& truth) {
  const auto backends = truth.execute("query-memdev");
  const auto text = truth.human("info mtree -f");
  if (!backends || !text) return std::unexpected("no answer");
  std::set<std::string> ids;
  for (const auto& one : *backends) ids.insert(one["id"]);
  const std::regex range("^  ([0-9a-f]{16})-([0-9a-f]{16}) \\(prio -?\\d+, (nv-)?ram\\): (\\S+)");
  std::vector<Region> out;
  bool system = false;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("FlatView")) system = false;
    system |= line.find("Root memory region: system") != std::string::npos;
    std::smatch found;
    if (!system || !std::regex_search(line, found, range) || !ids.contains(found[4])) continue;
    const auto hva = hva_of(truth, hex(found[1]));
    if (!hva) return std::unexpected(hva.error());
    out.push_back({hex(found[1]), hex(found[2]) - hex(found[1]) + 1, *hva});
  }
  return out;
}

// Neighbours that continue each other are one, however the two sides cut them.
std::vector<Region> joined(std::vector<Region> all) {
  std::ranges::sort(all, {}, &Region::gpa);
  std::vector<Region> out;
  for (const Region& one : all) {
    if (!out.empty() && out.back().gpa + out.back().size == one.gpa &&
        out.back().hva + out.back().size == one.hva)
      out.back().size += one.size;
    else
      out.push_back(one);
  }
  return out;
}

std::vector<Region> regions_of(const host::Layout& layout) {
  std::vector<Region> out;
  for (const host::Segment& one : layout.segments)
    if (one.kind == MemoryRegion::Kind::ram)
      out.push_back({to_integer(one.gpa), one.size, one.hva});
  return out;
}

Expected<LayoutFinder> finder_for(const QemuGuest& guest) {
  auto process = process_of(static_cast<std::uint32_t>(guest.pid()));
  if (!process) return std::unexpected(process.error());
  return LayoutFinder::open(*std::move(process));
}

void expect_truth(QemuOptions options, LayoutFinder::Source source) {
  options.started = false;
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  const auto truth = regions_of((*guest)->truth());
  ASSERT_TRUE(truth) << truth.error();
  ASSERT_FALSE(truth->empty());
  auto finder = finder_for(**guest);
  ASSERT_TRUE(finder) << to_text(finder.error());
  const auto layout = finder->find(Wait::at_most(20s));
  ASSERT_TRUE(layout) << to_text(layout.error());
  EXPECT_EQ(finder->source(), source);
  EXPECT_THAT(joined(regions_of(*layout)), testing::ElementsAreArray(joined(*truth)));
  const bool has_virtio_mem = std::ranges::any_of(
      options.args, [](const std::string& word) { return word.starts_with("virtio-mem"); });
  const bool may_grow = options.memory.find("slots") != std::string::npos;
  const bool exact = !has_virtio_mem && (!may_grow || source == LayoutFinder::Source::qmp);
  EXPECT_EQ(layout->exact, exact);
}

struct Case {
  const char* machine;
  const char* memory;
  RamBackend backend = RamBackend::anonymous;
  std::vector<std::string> args{};
  const char* program = test::kQemu;
};

void PrintTo(const Case& one, std::ostream* out) {
  *out << one.machine << " -m " << one.memory << ' ' << name_of(one.backend);
  for (const std::string& word : one.args) *out << ' ' << word;
}

class LayoutLiveTest : public testing::TestWithParam<Case> {
 protected:
  static QemuOptions options(test::Monitor monitor) {
    const Case& one = GetParam();
    return {.machine = one.machine,
            .memory = one.memory,
            .backend = one.backend,
            .monitor = monitor,
            .args = one.args,
            .program = test::find_program(one.program).value_or("")};
  }
  static bool is_installed() { return test::find_program(GetParam().program).has_value(); }
};

TEST_P(LayoutLiveTest, TheCommandLineTellsWhatQemuTells) {
  MICROVMI_NEEDS_QEMU();
  if (!is_installed()) GTEST_SKIP() << GetParam().program << " is not installed";
  expect_truth(options(test::Monitor::none), LayoutFinder::Source::command_line);
}

TEST_P(LayoutLiveTest, TheMonitorTellsWhatQemuTells) {
  MICROVMI_NEEDS_QEMU();
  if (!is_installed()) GTEST_SKIP() << GetParam().program << " is not installed";
  expect_truth(options(test::Monitor::relative), LayoutFinder::Source::qmp);
}

INSTANTIATE_TEST_SUITE_P(
    I440fx, LayoutLiveTest,
    testing::Values(Case{"pc", "64M"}, Case{"pc", "3583M"}, Case{"pc", "3584M"}, Case{"pc", "5G"},
                    Case{"pc", "5000000B"}, Case{"pc-i440fx-1.7", "5G"},
                    Case{"pc-i440fx-2.0", "5G"}, Case{"pc,max-ram-below-4g=2G", "5G"},
                    Case{"pc,max-ram-below-4g=1G", "5G"}, Case{"pc,max-ram-below-4g=3.75G", "5G"},
                    Case{"pc,max-ram-below-4g=4G", "3968M"}, Case{"pc", "64M", {}, {"-vga", "std"}},
                    Case{"pc", "64M", {}, {"-device", "cirrus-vga"}}));

INSTANTIATE_TEST_SUITE_P(Q35, LayoutLiveTest,
                         testing::Values(Case{"q35", "64M"}, Case{"q35", "2815M"},
                                         Case{"q35", "2816M"}, Case{"q35", "5G"},
                                         Case{"pc-q35-2.4", "5G"},
                                         Case{"q35,max-ram-below-4g=1G", "5G"},
                                         Case{"q35,max-ram-below-4g=1500M", "3G"},
                                         Case{"q35,max-ram-below-4g=3G", "5G"},
                                         Case{"q35", "64M", {}, {"-device", "VGA"}}));

INSTANTIATE_TEST_SUITE_P(
    OtherBoards, LayoutLiveTest,
    testing::Values(Case{"isapc", "64M"}, Case{"isapc", "4G"},
                    Case{"isapc", "64M", {}, {"-vga", "std"}}, Case{"microvm", "512M"},
                    Case{"microvm", "4G"},
                    Case{"virt", "1G", {}, {"-cpu", "cortex-a57"}, "qemu-system-aarch64"},
                    Case{"virt", "5G", {}, {"-cpu", "cortex-a57"}, "qemu-system-aarch64"},
                    Case{"virt", "1G", {}, {}, "qemu-system-riscv64"}));

INSTANTIATE_TEST_SUITE_P(Backends, LayoutLiveTest,
                         testing::Values(Case{"pc", "1G", RamBackend::ram},
                                         Case{"q35", "5G", RamBackend::memfd},
                                         Case{"pc", "5G", RamBackend::file},
                                         Case{"pc", "1G", RamBackend::file_private},
                                         Case{"q35", "1G", RamBackend::mem_path}));

std::vector<std::string> dimms() {
  return {"-object", "memory-backend-ram,id=d0,size=256M",
          "-device", "pc-dimm,memdev=d0,id=dimm0",
          "-object", "memory-backend-memfd,id=d1,size=512M",
          "-device", "pc-dimm,memdev=d1,addr=0x200000000",
          "-object", R"({"qom-type":"memory-backend-ram","id":"d2","size":134217728})",
          "-device", "pc-dimm,memdev=d2"};
}

INSTANTIATE_TEST_SUITE_P(
    NodesAndDimms, LayoutLiveTest,
    testing::Values(Case{"pc",
                         "5G",
                         {},
                         {"-object", "memory-backend-ram,id=n0,size=1G", "-object",
                          "memory-backend-memfd,id=n1,size=4G", "-numa", "node,memdev=n0", "-numa",
                          "node,memdev=n1"}},
                    Case{"q35",
                         "4G",
                         {},
                         {"-object", "memory-backend-ram,id=b,size=1G", "-object",
                          "memory-backend-ram,id=a,size=3G", "-numa", "node,nodeid=1,memdev=b",
                          "-numa", "node,nodeid=0,memdev=a"}},
                    Case{"pc", "1G,slots=4,maxmem=8G", {}, dimms()},
                    Case{"q35", "5G,slots=4,maxmem=9G", {}, dimms()},
                    Case{"pc,nvdimm=on",
                         "1G,slots=4,maxmem=8G",
                         {},
                         {"-object", "memory-backend-ram,id=d0,size=256M", "-device",
                          "nvdimm,memdev=d0,label-size=128K"}},
                    Case{"pc",
                         "1G,slots=4,maxmem=8G",
                         {},
                         {"-object", "memory-backend-ram,id=d0,size=256M", "-device",
                          "virtio-mem-pci,memdev=d0,requested-size=128M"}}));

// Address space that is not reserved costs nothing.
std::vector<std::string> huge(const std::string& size, const std::string& cpu) {
  return {"-object", "memory-backend-ram,id=big,reserve=off,size=" + size, "-cpu", cpu};
}

INSTANTIATE_TEST_SUITE_P(
    OneTebibyte, LayoutLiveTest,
    testing::Values(
        Case{"pc-i440fx-7.1,memory-backend=big", "1009G", {}, huge("1009G", "EPYC,phys-bits=44")},
        Case{"pc-i440fx-7.1,memory-backend=big", "1010G", {}, huge("1010G", "EPYC,phys-bits=44")},
        Case{"pc-i440fx-7.0,memory-backend=big", "1030G", {}, huge("1030G", "EPYC,phys-bits=44")},
        Case{"pc-i440fx-7.2,memory-backend=big", "1030G", {}, huge("1030G", "max,phys-bits=44")},
        Case{"pc-i440fx-7.2,memory-backend=big",
             "1030G",
             {},
             huge("1030G", "Skylake-Server,phys-bits=44")},
        Case{"pc-q35-7.2,memory-backend=big", "978G", {}, huge("978G", "qemu64,phys-bits=44")},
        Case{"pc-q35-7.2,memory-backend=big", "979G", {}, huge("979G", "qemu64,phys-bits=44")}));

}  // namespace
}  // namespace microvmi::qemu
