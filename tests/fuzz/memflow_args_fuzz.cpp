// SPDX-License-Identifier: Apache-2.0
// memflow's own argument text: refused with a reason, or no part of it is lost.
#include <algorithm>
#include <cstdlib>

#include "init/memflow_text.hpp"
#include "microvmi/init_params.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto args = microvmi::read_memflow_args(text);
  if (!args) {
    if (args.error().empty()) std::abort();
  } else {
    // Letters are no separators: all of them are in some name or value.
    const auto letters = [](std::string_view one) {
      return std::ranges::count_if(one, [](char c) { return c >= 'a' && c <= 'z'; });
    };
    std::ptrdiff_t kept = 0;
    for (const microvmi::MemflowArg& one : *args) kept += letters(one.name) + letters(one.value);
    if (kept < letters(text)) std::abort();  // more where we named the target
  }
  const auto read =
      microvmi::DriverParams().insert("memflow.connector-args", std::string(text)).read();
  if (!read && read.error().empty()) std::abort();
  return 0;
}
