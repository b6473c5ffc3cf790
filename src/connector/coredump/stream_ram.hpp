// SPDX-License-Identifier: Apache-2.0
// The RAM in a QEMU migration stream (docs/devel/migration/main.rst, migration/ram.c, savevm.c).
#pragma once

#include <string>
#include <vector>

#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {

struct StreamBlock {
  std::string name;  // "pc.ram"
  std::uint64_t size = 0;
};

// Pages of one block that follow each other: `stride` bytes apart in the file, or all of the same
// byte where it is 0.
struct StreamRun {
  std::uint64_t page = 0;  // in the block
  std::uint64_t offset = 0;
  std::uint32_t block = 0;
  std::uint32_t count = 0;
  std::uint32_t stride = 0;
  std::uint8_t fill = 0;
};

struct StreamRam {
  std::string machine{};  // "pc-i440fx-7.2"; empty where the stream does not say
  std::vector<StreamBlock> blocks{};
  std::vector<StreamRun> runs{};  // in the order of the stream: the last copy of a page counts
  std::uint64_t devices = 0;      // where the state of the devices begins
  bool is_cut = false;            // the file ends before its RAM does
};

// `start`: where the stream begins in the file.
[[nodiscard]] Expected<StreamRam> read_stream_ram(const Source& source, std::uint64_t start);

}  // namespace microvmi::coredump_connector
