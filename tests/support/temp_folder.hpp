// SPDX-License-Identifier: Apache-2.0
// TempFolder: a folder of the test's own, mode 0700, gone with everything in it at the end.
#pragma once

#include <filesystem>

namespace microvmi::test {

class TempFolder {
 public:
  TempFolder();  // throws where the system gives none, which fails the test
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace microvmi::test
