// SPDX-License-Identifier: Apache-2.0
// Layouts from a simulated monitor, honest and hostile; layout_live_test.cpp asks real ones.
#include "qemu/monitor_layout.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace microvmi::qemu {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr const char* kMtree =
    "FlatView #0\r\n AS \"memory\", root: system\r\n Root memory region: system\r\n"
    "  0000000000000000-000000000009ffff (prio 0, ram): pc.ram\r\n"
    "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\r\n"
    "  00000000000c0000-00000000000cffff (prio 1, rom): pc.ram @00000000000c0000\r\n"
    "  0000000000100000-0000000003ffffff (prio 0, ram): pc.ram @0000000000100000\r\n"
    "  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram\r\n"
    "  00000000fe000000-00000000fe0fffff (prio 1, ram): shm0\r\n\r\n";

// What the monitor answers to a command, or to a line of the human monitor.
struct Script {
  using Words = std::vector<std::string>;

  std::map<std::string, Json> answers{
      {"query-memdev", Json::parse(R"([{"id":"pc.ram","size":67108864,"share":false},
                                       {"id":"shm0","size":1048576,"share":true}])")},
      {"query-memory-devices", Json::array()},
      {"info mtree -f", kMtree},
      {"gpa2hva 0x0", "Host virtual address for 0x0 (pc.ram) is 0x7f0000000000\r\n"},
      {"gpa2hva 0xc0000", "Host virtual address for 0xc0000 (pc.ram) is 0x7f00000c0000\r\n"},
      {"gpa2hva 0x100000", "Host virtual address for 0x100000 (pc.ram) is 0x7f0000100000\r\n"},
  };

  std::function<void(const std::string& line)> on_ask = [](const std::string&) {};

  [[nodiscard]] Expected<host::Layout> ask() const {
    const Words ivshmem{"qemu-system-x86_64", "-device", "ivshmem-plain,memdev=shm0"};
    return ask_layout([this](const Command& command) { return answer(command); },
                      parse_command_line(ivshmem));
  }

 private:
  [[nodiscard]] Expected<Json> answer(const Command& command) const {
    const bool human = command.name == "human-monitor-command";
    const std::string line =
        human ? command.arguments["command-line"].get<std::string>() : command.name;
    on_ask(line);
    const auto found = answers.find(line);
    if (found == answers.end()) return fail(Errc::not_supported, "no such command");
    return found->second;
  }
};

TEST(MonitorLayoutSimulatedTest, GuestRamAloneIsTaken) {
  const auto layout = Script().ask();
  ASSERT_TRUE(layout) << layout.error().message;
  ASSERT_EQ(layout->segments.size(), 3U) << "neither video memory nor what ivshmem shows";
  EXPECT_EQ(layout->segments[1].kind, MemoryRegion::Kind::rom);
  EXPECT_EQ(layout->segments[2].hva, 0x7f0000100000U);
  EXPECT_TRUE(layout->exact);
}

TEST(MonitorLayoutSimulatedTest, VirtioMemMakesItInexact) {
  Script script;
  script.answers["query-memory-devices"] = Json::parse(
      R"([{"type":"virtio-mem","data":{"id":"v","memaddr":4294967296,"requested-size":0,
          "size":0,"max-size":268435456,"block-size":2097152,"node":0,"memdev":"/objects/d"}}])");
  EXPECT_FALSE(script.ask()->exact);
  script.answers.erase("query-memory-devices");
  EXPECT_TRUE(script.ask()->exact) << "a QEMU that does not know the question";
}

TEST(MonitorLayoutSimulatedTest, ALayoutThatChangesMeanwhileIsAskedForAgain) {
  Script script;
  const Json before = script.answers["gpa2hva 0xc0000"];
  const Json other = "Host virtual address for 0xc0000 (dimm0) is 0x7f00000c0000\r\n";
  script.answers["gpa2hva 0xc0000"] = other;
  EXPECT_EQ(script.ask().error().code, Errc::busy) << "it changes all the time";
  int asked = 0;
  script.on_ask = [&](const std::string& line) {
    if (line == "info mtree -f") script.answers["gpa2hva 0xc0000"] = ++asked == 1 ? other : before;
  };
  const auto layout = script.ask();
  ASSERT_TRUE(layout) << to_text(layout.error());
  EXPECT_EQ(layout->segments[1].hva, 0x7f00000c0000U);
  EXPECT_EQ(asked, 2);
}

TEST(MonitorLayoutSimulatedTest, NonsenseIsAnError) {
  for (const auto& [key, answer] : std::multimap<std::string, Json>{
           {"query-memdev", 7},
           {"query-memdev", "pc.ram"},
           {"info mtree -f", Json::array()},
           {"info mtree -f", "  0000-zzzz (prio 0, ram): pc.ram\r\n"},
           {"info mtree -f", ""},
           {"gpa2hva 0x0", "No memory is mapped at address 0x0\r\n"},
           {"gpa2hva 0x0", Json()},
           {"gpa2hva 0xc0000", "Host virtual address for 0x0 (pc.ram) is 0x7f0000000000\r\n"}}) {
    Script script;
    script.answers[key] = answer;
    EXPECT_FALSE(script.ask()) << key << ' ' << answer;
  }
}

TEST(MonitorLayoutSimulatedTest, RangesWithoutEndAreNotAskedFor) {
  Script script;
  std::string mtree =
      "FlatView #0\r\n AS \"memory\", root: system\r\n Root memory region: system\r\n";
  for (std::uint64_t i = 0; i < 5000; ++i)
    mtree +=
        fmt::format("  {:016x}-{:016x} (prio 0, ram): pc.ram\r\n", i << 13U, (i << 13U) + 0xfff);
  script.answers["info mtree -f"] = mtree;
  int asked = 0;
  script.on_ask = [&asked](const std::string&) { ++asked; };
  EXPECT_EQ(script.ask().error().code, Errc::protocol);
  EXPECT_LT(asked, 10);
}

TEST(CheckMappedTest, ASegmentMustBeAllInDataMappings) {
  const auto maps = host::parse_maps(
      "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n"
      "7f0000100000-7f0000200000 rw-s 00000000 00:01 5 /memfd:x (deleted)\n"
      "7f0000200000-7f0000300000 rwxp 00000000 00:00 0 \n"
      "7f0000400000-7f0000500000 ---p 00000000 00:00 0 \n");
  const auto fits = [&](std::uint64_t hva, std::uint64_t size) {
    return check_mapped({.segments = {{.size = size, .hva = hva}}}, maps).has_value();
  };
  EXPECT_TRUE(fits(0x7f0000000000, 0x200000));
  EXPECT_TRUE(fits(0x7f00000ff000, 0x2000));
  EXPECT_FALSE(fits(0x7f0000000000, 0x201000)) << "code";
  EXPECT_FALSE(fits(0x7f0000400000, 0x1000)) << "not readable";
  EXPECT_FALSE(fits(0x7f0000350000, 0x1000)) << "a gap";
  EXPECT_FALSE(fits(0x7efffffff000, 0x2000)) << "begins before";
  EXPECT_FALSE(fits(0x7f0000000000, ~std::uint64_t{0}));
  EXPECT_FALSE(fits(~std::uint64_t{0} - 0xfff, 0x1000));
}

}  // namespace
}  // namespace microvmi::qemu
