// SPDX-License-Identifier: Apache-2.0
// LeechcoreMachine: guest memory in a file that LeechCore opens, and the library that opens it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "microvmi/connector/pcileech.hpp"
#include "microvmi/memory.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::test {

// The one that MICROVMI_TEST_LEECHCORE names, else the stand-in of the tests.
[[nodiscard]] std::filesystem::path leechcore_library();
[[nodiscard]] bool leechcore_is_real();

// The stand-in, and a library that is no LeechCore.
[[nodiscard]] std::filesystem::path simulated_leechcore();
[[nodiscard]] std::filesystem::path not_leechcore();

class LeechcoreMachine {
 public:
  // raw: 32 MiB from 0. elf: 640 KiB, and 16 MiB at 4 GiB. live: the same places in a raw file that
  // is said to change, told by a memory map in TOML.
  enum class Kind : std::uint8_t { raw, elf, live };

  explicit LeechcoreMachine(Kind kind);

  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "memory"; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }

  // With more keys of a device string: "write=1,bad=3000".
  [[nodiscard]] PcileechParams params(const std::string& keys = {}) const;

  [[nodiscard]] std::vector<MemoryRegion> ram() const;
  // The pages in which there is something: the first and the last of each region.
  [[nodiscard]] std::vector<MemoryRegion> filled() const;
  // What the file has now.
  [[nodiscard]] std::vector<std::byte> truth(Gpa gpa, std::size_t size) const;

  void cut_off(std::uint64_t size) const;

 private:
  struct Segment {
    std::uint64_t gpa;
    std::uint64_t size;
    std::uint64_t offset;
  };

  void write() const;

  Kind kind_;
  std::vector<Segment> segments_;
  TempFolder folder_;
};

}  // namespace microvmi::test
