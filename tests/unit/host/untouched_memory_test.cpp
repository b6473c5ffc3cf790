// SPDX-License-Identifier: Apache-2.0
// Memory of a memfd that nobody has touched: a dump of the guest must not allocate it on the host.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "host/linux/process_memory.hpp"
#include "microvmi/dump.hpp"
#include "support/temp_folder.hpp"
#include "unit/host/target.hpp"

namespace microvmi::host {
namespace {

constexpr std::uint64_t kHuge = std::uint64_t{64} << 20;
constexpr std::uint64_t kFar = std::uint64_t{32} << 20;  // where one page is touched
constexpr std::uint64_t kNear = 3 * kPageSize;           // touched from the start on

class Guest final : public Driver {
 public:
  explicit Guest(std::unique_ptr<ProcessMemory> memory) : memory_(std::move(memory)) {}
  PhysicalMemory& memory() override { return *memory_; }

 private:
  std::unique_ptr<ProcessMemory> memory_;
};

class UntouchedMemoryTest : public testing::Test {
 protected:
  static int sparse_file() {
    const int file = ::memfd_create("sparse-guest-ram", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(file, static_cast<off_t>(kHuge)), 0);
    return file;
  }

  // In the child.
  [[nodiscard]] std::uint64_t touch_little() const {
    void* base = ::mmap(nullptr, kHuge, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (base == MAP_FAILED) ::_exit(3);
    auto* bytes = static_cast<volatile char*>(base);
    for (std::uint64_t at = 0; at < kNear; at += kPageSize) bytes[at] = 'n';
    bytes[kFar] = 'f';
    return reinterpret_cast<std::uint64_t>(base);
  }

  std::unique_ptr<ProcessMemory> open() {
    auto process = Process::open(target_.pid());
    EXPECT_TRUE(process) << to_text(process.error());
    const Layout layout{.segments = {{.gpa = Gpa{0}, .size = kHuge, .hva = target_.address()}}};
    auto memory = ProcessMemory::open(*std::move(process), [layout] { return layout; });
    EXPECT_TRUE(memory) << to_text(memory.error());
    return *std::move(memory);
  }

  [[nodiscard]] std::int64_t blocks() const {
    struct stat status{};
    EXPECT_EQ(::fstat(file_, &status), 0);
    return status.st_blocks;
  }

  ~UntouchedMemoryTest() override { ::close(file_); }

  int file_ = sparse_file();
  test::Target target_{[this] { return touch_little(); }};
};

TEST_F(UntouchedMemoryTest, IsToldFromWhatWasTouched) {
  const auto memory = open();
  EXPECT_EQ(memory->touched(Gpa{0}, kHuge), (Touched{0, kNear}));
  EXPECT_EQ(memory->touched(Gpa{kPageSize}, kPageSize), (Touched{0, kPageSize}));
  EXPECT_EQ(memory->touched(Gpa{kNear}, kHuge - kNear), (Touched{kFar - kNear, kPageSize}));
  EXPECT_EQ(memory->touched(Gpa{kNear}, kPageSize), (Touched{kPageSize, 0}));
  EXPECT_EQ(memory->touched(Gpa{kFar + kPageSize}, kHuge - kFar - kPageSize),
            (Touched{kHuge - kFar - kPageSize, 0}));
}

TEST_F(UntouchedMemoryTest, StaysUntouchedByADump) {
  const test::TempFolder folder;
  const std::int64_t before = blocks();
  Vm vm(DriverType::memflow, std::make_unique<Guest>(open()));
  const auto file = folder.path() / "guest.raw";
  const auto report = dump(vm, file, {.format = ImageFormat::raw});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->bytes, kHuge);
  EXPECT_EQ(blocks(), before);
  std::ifstream in(file, std::ios::binary);
  std::vector<char> expected(kHuge), found(kHuge + 1);
  for (std::uint64_t at = 0; at < kNear; at += kPageSize) expected[at] = 'n';
  expected[kFar] = 'f';
  in.read(found.data(), static_cast<std::streamsize>(found.size()));
  ASSERT_EQ(in.gcount(), static_cast<std::streamsize>(kHuge));
  found.pop_back();
  EXPECT_TRUE(found == expected);
}

}  // namespace
}  // namespace microvmi::host
