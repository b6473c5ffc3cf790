// SPDX-License-Identifier: Apache-2.0
// docs/reference/parameters.md is what the library writes of its rows.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "microvmi/init_args.hpp"

namespace microvmi {
namespace {

constexpr const char* kReference = MICROVMI_SOURCE_DIR "/docs/reference/parameters.md";

TEST(Page, IsWhatTheRowsSay) {
  if (std::getenv("MICROVMI_WRITE_PAGE")) std::ofstream(kReference) << init_args_page();
  std::ostringstream page;
  page << std::ifstream(kReference).rdbuf();
  EXPECT_TRUE(page.str() == init_args_page())
      << kReference << " is not what the rows say; write it again with\n"
      << "  MICROVMI_WRITE_PAGE=1 unit_tests --gtest_filter=Page.*";
}

TEST(Page, HasARowForEveryParameter) {
  const std::string page = init_args_page();
  for (const DriverInitParamDesc& one : every_init_arg())
    EXPECT_NE(page.find("| `" + one.name + "` | `" + one.option + "` |"), std::string::npos)
        << one.name;
}

}  // namespace
}  // namespace microvmi
