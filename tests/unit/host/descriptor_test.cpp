// SPDX-License-Identifier: Apache-2.0
// read_text at and around its bounds, with files of a size and files of /proc.
#include "host/linux/descriptor.hpp"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

namespace microvmi::host {
namespace {

std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>('a' + i * 7 / 5 % 26);
  return out;
}

class ReadText : public testing::TestWithParam<std::size_t> {
 protected:
  ReadText() : fd_(::memfd_create("text", MFD_CLOEXEC)) {
    const std::string text = pattern(GetParam());
    EXPECT_EQ(::write(fd_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  Descriptor fd_;
};

TEST_P(ReadText, GivesAllOfAFileThatIsAsLongAsTheLimit) {
  const auto text = read_text(path(), GetParam());
  ASSERT_TRUE(text) << to_text(text.error());
  EXPECT_EQ(*text, pattern(GetParam()));
}

TEST_P(ReadText, GivesAllOfAFileFarBelowTheLimit) {
  const auto text = read_text(path(), std::size_t{8} << 20);
  ASSERT_TRUE(text) << to_text(text.error());
  EXPECT_EQ(*text, pattern(GetParam()));
}

TEST_P(ReadText, RefusesAFileLongerThanTheLimit) {
  if (GetParam() == 0) return;  // nothing is shorter
  const auto text = read_text(path(), GetParam() - 1);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, Errc::protocol);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ReadText,
                         testing::Values(0, 1, 16, 4095, 4096, 4097, 8191, 8192, 8193, 65536,
                                         100'000, 1'000'001));

}  // namespace
}  // namespace microvmi::host
