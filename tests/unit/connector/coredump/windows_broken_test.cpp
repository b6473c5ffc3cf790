// SPDX-License-Identifier: Apache-2.0
// Crash dumps whose numbers lie.
#include "support/sizes.hpp"
#include "support/windows_dump.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::slice;
using test::WindowsDump;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kPage;

class BrokenWindowsSimulatedTest : public test::ImageTest {
 protected:
  std::expected<Vm, InitError> open_it(const WindowsDump& crash) {
    test::write_file(file_, crash.image().bytes());
    return open();
  }
  InitError refusal_of(const WindowsDump& crash) {
    test::write_file(file_, crash.image().bytes());
    return refusal();
  }
  static WindowsDump good(std::uint32_t type) { return {.type = type, .runs = {{1, 3}, {8, 9}}}; }
};

TEST_F(BrokenWindowsSimulatedTest, EmptyRunsAndOverlapsAreTaken) {
  WindowsDump crash{.runs = {{5, 0}, {1, 3}, {2, 4}, {9, 0}}};
  const auto vm = open_it(crash);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions, ElementsAre(MemoryRegion{Gpa{kPage}, 5 * kPage}));
  EXPECT_EQ(read(*vm, kPage, 3 * kPage), slice(crash.pages(), 0, 3 * kPage));
  EXPECT_EQ(read(*vm, 4 * kPage, 2 * kPage), slice(crash.pages(), 5 * kPage, 2 * kPage));
}

TEST_F(BrokenWindowsSimulatedTest, ARunCountBeyondTheHeaderIsRefused) {
  WindowsDump crash = good(1);
  crash.run_count = 43;
  EXPECT_THAT(refusal_of(crash).message, HasSubstr("says 43 runs of memory; 42 fit into it"));
  crash.run_count = 0x45474150;
  EXPECT_THAT(refusal_of(crash).message, HasSubstr("has no list of the memory"));
  crash.run_count = 0;
  EXPECT_THAT(refusal_of(crash).message, HasSubstr("has no memory in it"));
}

TEST_F(BrokenWindowsSimulatedTest, RunsPastTheLastAddressAreRefused) {
  WindowsDump crash = good(1);
  auto bytes = crash.image();
  bytes.place(0x98, ~0ULL, 8);
  test::write_file(file_, bytes.bytes());
  EXPECT_THAT(refusal().message, HasSubstr("it has 0x3 pages from frame 0xffffffffffffffff"));
  bytes.place(0x98, 1, 8).place(0xA0, 1ULL << 39, 8);
  test::write_file(file_, bytes.bytes());
  const auto vm = open();
  ASSERT_TRUE(vm) << "as one that is cut off";
  EXPECT_TRUE(value<bool>(*vm, "truncated"));
}

TEST_F(BrokenWindowsSimulatedTest, PageCountsThatLieAreTold) {
  for (const std::uint32_t type : {1U, 5U, 6U, 10U}) {
    WindowsDump crash = good(type);
    crash.page_count = 11;
    log_.clear();
    const auto vm = open_it(crash);
    ASSERT_TRUE(vm) << type;
    EXPECT_THAT(log_, HasSubstr("says that it has 11 pages, and lists 12")) << type;
    EXPECT_EQ(read(*vm, 16 * kPage, kPage), slice(crash.pages(), 11 * kPage, kPage));
  }
}

TEST_F(BrokenWindowsSimulatedTest, ABitmapsTailCounts) {
  for (const std::uint64_t last : {7U, 8U, 9U, 63U, 64U, 65U, 127U}) {
    WindowsDump crash{.type = 6, .runs = {{2, 1}, {last, 1}}};
    const auto vm = open_it(crash);
    ASSERT_TRUE(vm);
    EXPECT_EQ(read(*vm, last * kPage, kPage), slice(crash.pages(), kPage, kPage)) << last;
    EXPECT_EQ(vm->end_of_memory(), Gpa{(last + 1) * kPage}) << "bits behind it are none";
    EXPECT_EQ(log_.find("coredump: "), std::string::npos) << log_;
  }
}

TEST_F(BrokenWindowsSimulatedTest, ABitmapThatIsFullOrFollowedByZeros) {
  WindowsDump crash{.type = 5, .runs = {{0, 256}}, .bitmap_magic = "FDMPDUMP"};
  ASSERT_TRUE(open_it(crash));
  crash.extra_bits = 1'000'000;
  const auto vm = open_it(crash);
  ASSERT_TRUE(vm);
  EXPECT_EQ(read(*vm, 0, 256 * kPage), crash.pages());
  EXPECT_EQ(vm->end_of_memory(), Gpa{256 * kPage});
}

TEST_F(BrokenWindowsSimulatedTest, BitmapsThatLieAreRefused) {
  WindowsDump crash = good(5);
  for (const std::uint64_t bits : {0ULL, ~1ULL, 1ULL << 35}) {
    crash.bitmap_bits = bits;
    EXPECT_THAT(refusal_of(crash).message, HasSubstr("its bitmap has")) << bits;
  }
  crash.bitmap_bits = 1ULL << 33;
  EXPECT_THAT(refusal_of(crash).message, HasSubstr("within its bitmap of 0x200000000 bits"));
  crash = good(6);
  crash.bitmap_magic = "XDMPDUMP";
  EXPECT_THAT(refusal_of(crash).message, HasSubstr("neither SDMPDUMP nor FDMPDUMP"));
}

TEST_F(BrokenWindowsSimulatedTest, ListsThatLieAreRefused) {
  for (const std::uint64_t data : {0ULL, 0x2030ULL, ~0ULL, 1ULL << 40}) {
    auto bytes = good(8).image();
    bytes.place(0x2018, data, 8);
    test::write_file(file_, bytes.bytes());
    EXPECT_THAT(refusal().message, HasSubstr("its list of runs has")) << data;
  }
  auto bytes = good(9).image();
  bytes.place(0x2004, std::string_view("XXXX"));
  test::write_file(file_, bytes.bytes());
  EXPECT_THAT(refusal().message, HasSubstr("has no RDMPDUMP"));
}

TEST_F(BrokenWindowsSimulatedTest, TriageAndUnknownTypesAreNamed) {
  WindowsDump crash = good(4);
  EXPECT_EQ(refusal_of(crash).code, Errc::not_supported);
  EXPECT_THAT(refusal().message, HasSubstr("is a triage dump"));
  EXPECT_THAT(refusal().message, HasSubstr("WinDbg"));
  crash.type = 77;
  EXPECT_THAT(refusal_of(crash).message, HasSubstr("is a crash dump of type 77"));
}

TEST_F(BrokenWindowsSimulatedTest, OfAnArmGuestThereAreNoRegisters) {
  WindowsDump crash = good(1);
  crash.machine = 0xAA64;
  auto vm = open_it(crash);
  ASSERT_TRUE(vm);
  EXPECT_EQ(value<std::string>(*vm, "architecture"), "aarch64");
  EXPECT_EQ(vm->read_registers(VcpuId{0}).error().code, Errc::not_supported);
}

}  // namespace
}  // namespace microvmi
