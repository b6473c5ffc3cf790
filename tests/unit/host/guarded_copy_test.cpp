// SPDX-License-Identifier: Apache-2.0
// Files that are cut under their mapping, and what is refused before it is mapped.
#include "host/linux/guarded_copy.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>
#include <vector>

#include "host/linux/mapped_file.hpp"
#include "microvmi/address.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::host {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }

  void fill(std::size_t size) {
    std::ofstream out(path_, std::ios::binary);
    for (std::size_t i = 0; i < size; ++i) out.put(static_cast<char>(i % 251));
  }

  static void expect_pattern(std::span<const std::byte> bytes, std::size_t offset) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
      ASSERT_EQ(bytes[i], static_cast<std::byte>((offset + i) % 251)) << i;
  }

  test::TempFolder folder_;
  std::filesystem::path path_ = folder_.path() / "file";
};

TEST_F(MappedFileTest, CopiesWhatIsThere) {
  fill(10000);
  const auto file = MappedFile::open(path_);
  ASSERT_TRUE(file) << to_text(file.error());
  EXPECT_EQ(file->size(), 10000U);
  expect_pattern(file->bytes(), 0);
  std::vector<std::byte> into(6000);
  EXPECT_EQ(file->copy(3, into), 6000U);
  expect_pattern(into, 3);
  EXPECT_EQ(file->copy(9000, into), 1000U);
  EXPECT_EQ(file->copy(10000, into), 0U);
  EXPECT_EQ(file->copy(~std::size_t{0}, into), 0U);
  EXPECT_EQ(file->copy(0, {}), 0U);
}

TEST_F(MappedFileTest, ACutFileEndsTheCopyWhereItWasCut) {
  fill(16 * kPageSize);
  const auto file = MappedFile::open(path_);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path_, 5 * kPageSize);
  for (const std::size_t offset :
       {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{5 * kPageSize - 1}}) {
    std::vector<std::byte> into(8 * kPageSize);
    const std::size_t copied = file->copy(offset, into);
    EXPECT_EQ(copied, 5 * kPageSize - offset);
    expect_pattern(std::span(into).first(copied), offset);
  }
  std::vector<std::byte> into(8);
  EXPECT_EQ(file->copy(5 * kPageSize, into), 0U);
  EXPECT_EQ(file->copy(5 * kPageSize + 4090, into), 0U);
  EXPECT_EQ(file->copy(5 * kPageSize - 8, into), 8U);
}

// Copies that go on where the last one ended are made in another way.
TEST_F(MappedFileTest, PagesOneAfterTheOtherUpToTheCut) {
  for (const std::size_t size : {1024UL, 1025UL, 1152UL, 4096UL, 4111UL, 8000UL}) {
    fill(16 * kPageSize);
    const auto file = MappedFile::open(path_);
    ASSERT_TRUE(file);
    std::filesystem::resize_file(path_, 5 * kPageSize);
    for (const std::size_t start : {0UL, 0x490UL, 63UL}) {
      std::size_t at = start;
      for (std::size_t copied = size; copied == size; at += copied) {
        std::vector<std::byte> into(size + 2, std::byte{0xFF});
        copied = file->copy(at, std::span(into).subspan(1, size));
        expect_pattern(std::span(into).subspan(1, copied), at);
        EXPECT_EQ(into[0], std::byte{0xFF}) << "before the buffer";
        EXPECT_EQ(into[size + 1], std::byte{0xFF}) << "behind the buffer";
      }
      EXPECT_EQ(at, 5 * kPageSize) << size;
    }
  }
}

TEST_F(MappedFileTest, ThreadsHaveGuardsOfTheirOwn) {
  fill(64 * kPageSize);
  const auto file = MappedFile::open(path_);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path_, 32 * kPageSize);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&file] {
      std::vector<std::byte> into(64 * kPageSize);
      for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(file->copy(0, into), 32 * kPageSize);
        EXPECT_EQ(file->copy(40 * kPageSize, std::span(into).first(9)), 0U);
      }
    });
}

TEST_F(MappedFileTest, RefusesWhatIsNoFileByName) {
  const auto refuse = [](const std::filesystem::path& path, Errc code, const char* word) {
    const auto file = MappedFile::open(path);
    ASSERT_FALSE(file) << path;
    EXPECT_EQ(file.error().code, code) << path;
    EXPECT_NE(file.error().message.find(path.string()), std::string::npos);
    EXPECT_NE(file.error().message.find(word), std::string::npos) << file.error().message;
  };
  refuse(path_, Errc::not_found, "No such file");
  refuse(folder(), Errc::invalid_argument, "a directory");
  const auto fifo = folder() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  refuse(fifo, Errc::invalid_argument, "a FIFO");
  refuse("/dev/null", Errc::invalid_argument, "a character device");
  fill(0);
  refuse(path_, Errc::invalid_argument, "empty");
  refuse(path_ / "below", Errc::not_found, "Not a directory");

  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const auto name = folder() / "socket";
  std::strncpy(address.sun_path, name.c_str(), sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  refuse(name, Errc::invalid_argument, "a socket");
  ::close(fd);
}

// Each in a new program, for the guard is put in place once. The statement runs in the child.
class GuardDeathTest : public MappedFileTest {
 protected:
  GuardDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Touches a byte that the file has lost, outside any copy, after a copy that met the same.
  void touch_lost_byte() {
    fill(4 * kPageSize);
    const auto file = MappedFile::open(path_);
    std::filesystem::resize_file(path_, kPageSize);
    std::filesystem::remove_all(folder());  // nobody else does: the child ends here
    std::vector<std::byte> into(2 * kPageSize);
    if (file->copy(0, into) != kPageSize) ::_exit(1);
    const volatile std::byte lost = file->bytes()[2 * kPageSize];
    ::_exit(lost == std::byte{} ? 2 : 3);
  }
};

TEST_F(GuardDeathTest, AHandlerWithInformationStillGetsItsSignals) {
  const auto run = [this] {
    struct sigaction action{};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int, siginfo_t* info, void*) {
      ::_exit(info->si_addr && info->si_code == BUS_ADRERR ? 42 : 4);
    };
    ::sigaction(SIGBUS, &action, nullptr);
    touch_lost_byte();
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(42), "");
}

TEST_F(GuardDeathTest, APlainHandlerStillGetsItsSignals) {
  const auto run = [this] {
    std::signal(SIGBUS, [](int) { ::_exit(43); });
    touch_lost_byte();
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(43), "");
}

TEST_F(GuardDeathTest, WithoutAHandlerTheProgramEnds) {
  const auto run = [this] {
    std::signal(SIGBUS, SIG_DFL);
    touch_lost_byte();
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGBUS), "");
}

TEST_F(GuardDeathTest, AFaultIsNotIgnored) {
  const auto run = [this] {
    std::signal(SIGBUS, SIG_IGN);
    touch_lost_byte();
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGBUS), "");
}

TEST_F(GuardDeathTest, ASignalThatWasSentIsIgnoredWhereItWas) {
  const auto run = [this] {
    std::signal(SIGBUS, SIG_IGN);
    fill(100);
    const auto file = MappedFile::open(path_);
    std::filesystem::remove_all(folder());
    ::raise(SIGBUS);
    ::_exit(file ? 44 : 1);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(44), "");
}

}  // namespace
}  // namespace microvmi::host
