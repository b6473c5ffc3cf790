// SPDX-License-Identifier: Apache-2.0
// What is said of a monitor that tells no layout: which one it is, once.
#include "qemu/layout_finder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "host/linux/proc.hpp"
#include "qemu/monitors.hpp"
#include "unit/qemu/fake_monitor.hpp"

namespace microvmi::qemu {
namespace {

using test::FakeLine;
using test::FakeMonitor;
using testing::ElementsAre;
using testing::HasSubstr;

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t out = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1))
    ++out;
  return out;
}

// This process as a QEMU that has that monitor and no memory of such a size.
std::vector<std::string> notes_with(const FakeMonitor& fake) {
  const std::vector<std::string> words{"qemu-system-x86_64", "-m", "123457M"};
  const auto pid = static_cast<std::uint32_t>(::getpid());
  auto finder = LayoutFinder::open({.pid = pid,
                                    .start_time = host::stat_of(pid)->start_time,
                                    .program = words.front(),
                                    .line = parse_command_line(words),
                                    .given_monitor = fake.monitor().endpoint});
  EXPECT_TRUE(finder) << to_text(finder.error());
  if (!finder) return {};
  EXPECT_FALSE(finder->find(Wait::at_most(std::chrono::seconds(20))));
  return finder->notes();
}

TEST(LayoutFinderSimulatedTest, AMonitorIsNamedOnceWhateverItDoes) {
  const std::vector<std::pair<FakeMonitor::Script, std::string>> scripts{
      {[](FakeLine&) {}, "hung up"},
      {[](FakeLine& line) {
         line.greet();
         line.line();
         line.send(R"({"id": 1, "error": {"class": "GenericError", "desc": "no"}})");
         line.idle();
       },
       "refused query-memdev"},
      {[](FakeLine& line) {
         line.greet();
         line.answer("7");
         line.idle();
       },
       "query-memdev: its list"},
  };
  for (const auto& [script, what] : scripts) {
    const FakeMonitor fake(script);
    const auto notes = notes_with(fake);
    ASSERT_THAT(notes, ElementsAre(HasSubstr(what)));
    EXPECT_EQ(count(notes[0], fake.path()), 1U) << notes[0];
    EXPECT_EQ(count(notes[0], " of process "), 1U) << notes[0];
  }
}

TEST(MonitorsTest, ACommandLineCannotNameThemWithoutEnd) {
  std::vector<std::string> words{"qemu-system-x86_64"};
  for (int i = 0; i < 100; ++i)
    words.insert(words.end(), {"-qmp", "unix:/run/" + std::to_string(i) + ",server=on"});
  const auto monitors = monitors_of(parse_command_line(words), 1);
  ASSERT_EQ(monitors.size(), 16U);
  EXPECT_EQ(monitors[15].endpoint.address, "/proc/1/root/run/15");
}

}  // namespace
}  // namespace microvmi::qemu
