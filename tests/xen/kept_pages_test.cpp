// SPDX-License-Identifier: Apache-2.0
// Small reads of a paused guest, and what of its memory is mapped here meanwhile, as the kernel
// says.
#include <array>
#include <fstream>

#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

// Mappings of guest frames; each is one of the device through which they are made.
std::size_t mapped() {
  std::ifstream maps("/proc/self/maps");
  std::size_t found = 0;
  for (std::string line; std::getline(maps, line);)
    if (line.find("privcmd") != std::string::npos) ++found;
  return found;
}

class XenKeptPagesTest : public XenBothTest {};

TEST_P(XenKeptPagesTest, StayMappedWhileWeHoldTheGuestPaused) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const Gpa place{domain().said("stamp_end") - 0x80000};
  const auto value = [&](std::uint64_t offset) {
    return memory().read_value<std::uint64_t>(place + offset).value_or(0);
  };
  const std::size_t before = mapped();
  const std::uint64_t first = value(0);
  EXPECT_EQ(mapped(), before) << "a guest that runs may want its page back";
  ASSERT_TRUE(vm().pause());
  EXPECT_EQ(value(0), first);
  EXPECT_EQ(value(8), domain().stamp(to_integer(place) + 8));
  EXPECT_EQ(mapped(), before + 1);
  // It is the page itself and no copy of it.
  ASSERT_TRUE(memory().write_value(place, std::uint64_t{77}));
  EXPECT_EQ(value(0), 77U);
  ASSERT_TRUE(memory().write_value(place, first));
  for (std::uint64_t page = 0; page < 100; ++page)
    EXPECT_EQ(value(page * kPageSize), domain().stamp(to_integer(place) + page * kPageSize));
  EXPECT_LE(mapped(), before + 64);
  ASSERT_TRUE(vm().resume());
  EXPECT_EQ(mapped(), before);
  ASSERT_TRUE(vm().pause());
  EXPECT_EQ(value(0), first);
  close();
  EXPECT_EQ(mapped(), before);
  EXPECT_TRUE(alive());
}

TEST_P(XenKeptPagesTest, EndWhenAnotherToolLetsTheGuestRun) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const Gpa ticks{domain().said("counters")};
  const std::size_t before = mapped();
  ASSERT_TRUE(vm().pause());
  ASSERT_TRUE(memory().read_value<std::uint64_t>(ticks));
  EXPECT_EQ(mapped(), before + 1);
  ASSERT_EQ(shell("xl unpause " + std::to_string(domain().id())).status, 0);
  EXPECT_TRUE(memory().read_value<std::uint64_t>(ticks));
  EXPECT_EQ(mapped(), before);
  EXPECT_TRUE(alive());
  close();
  EXPECT_FALSE(domain().paused());
}

INSTANTIATE_TEST_SUITE_P(Xen, XenKeptPagesTest, testing::Values(kTiny, kHvm),
                         [](const auto& name) { return std::string(name.param); });

}  // namespace
}  // namespace microvmi::test::xen
