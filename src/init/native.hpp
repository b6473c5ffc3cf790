// SPDX-License-Identifier: Apache-2.0
// Reading a small text file that may be anything: a directory, a FIFO, somebody else's.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "microvmi/error.hpp"

namespace microvmi {

// Never waits, and refuses what is not a regular file of at most `limit` bytes.
[[nodiscard]] Expected<std::string> read_text_file(const std::filesystem::path& path,
                                                   std::size_t limit);

}  // namespace microvmi
