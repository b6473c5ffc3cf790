// SPDX-License-Identifier: Apache-2.0
// A URL is refused with a reason, or written again it means the same.
#include <cstdlib>

#include "microvmi/init_params.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using microvmi::DriverParams;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto once = DriverParams::from_url(text);
  if (!once) {
    if (once.error().message.empty()) std::abort();
    return 0;
  }
  const auto twice = DriverParams::from_url(to_url(once->driver, once->params.settings()));
  if (!twice || twice->driver != once->driver) std::abort();
  const auto a = once->params.settings();
  const auto b = twice->params.settings();
  if (a.size() != b.size()) std::abort();
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!microvmi::param::same_key(a[i].key, b[i].key) || a[i].value != b[i].value) std::abort();
  const auto read = once->params.read();
  if (!read && read.error().empty()) std::abort();
  return 0;
}
