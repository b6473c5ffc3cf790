// SPDX-License-Identifier: Apache-2.0
// What the tests of images share: a folder, opening, reading.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "microvmi/init.hpp"
#include "support/elf_image.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::test {

class ImageTest : public testing::Test {
 protected:
  std::expected<Vm, InitError> open(DumpFormat format = DumpFormat::detect,
                                    std::vector<DumpRange> map = {}) {
    const CoredumpParams params{.filepath = file_, .format = format, .map = std::move(map)};
    return init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}},
                {.log = [this](std::string_view line) { log_ += std::string(line) + '\n'; }});
  }

  std::expected<Vm, InitError> open(const ElfImage& image) {
    image.write(file_);
    return open();
  }

  // Why it is not opened; the code is that of the connector.
  InitError refusal(const ElfImage& image) {
    image.write(file_);
    return refusal();
  }
  InitError refusal(DumpFormat format = DumpFormat::detect, std::vector<DumpRange> map = {}) {
    auto vm = open(format, std::move(map));
    EXPECT_FALSE(vm) << "it was opened";
    return vm ? InitError{} : std::move(vm.error());
  }

  // The bytes, or none where the read fails.
  static std::vector<std::byte> read(const Vm& vm, std::uint64_t gpa, std::size_t size) {
    std::vector<std::byte> out(size);
    return vm.memory().read(Gpa{gpa}, out) ? out : std::vector<std::byte>{};
  }

  static ReadRequest read_one(const Vm& vm, std::uint64_t gpa, std::span<std::byte> into) {
    std::array batch{ReadRequest{.gpa = Gpa{gpa}, .into = into}};
    vm.memory().read(batch);
    return batch[0];
  }

  static std::optional<Fact> fact(const Vm& vm, const std::string& name) {
    for (const Fact& one : vm.info().facts)
      if (one.name == name) return one;
    return std::nullopt;
  }
  template <class T>
  static T value(const Vm& vm, const std::string& name) {
    const auto found = fact(vm, name);
    const T* value = found ? std::get_if<T>(&found->value) : nullptr;
    EXPECT_TRUE(value) << name;
    return value ? *value : T{};
  }

  TempFolder folder_;
  std::filesystem::path file_ = folder_.path() / "image";
  std::string log_;
};

inline std::vector<std::byte> slice(const std::vector<std::byte>& bytes, std::size_t at,
                                    std::size_t size) {
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

}  // namespace microvmi::test
