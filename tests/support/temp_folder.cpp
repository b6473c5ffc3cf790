// SPDX-License-Identifier: Apache-2.0
// Making a folder that nobody else can look into.
#include "support/temp_folder.hpp"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

namespace microvmi::test {

TempFolder::TempFolder() {
  // mkdtemp makes it 0700. Short, for a socket's path has room for 107 characters.
  std::string name = std::filesystem::temp_directory_path() / "mvmi-XXXXXX";
  if (!::mkdtemp(name.data()))
    throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace microvmi::test
