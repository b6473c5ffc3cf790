// SPDX-License-Identifier: Apache-2.0
// A file is refused with a reason, or its parameters, written as TOML by us, are read again.
#include <cstdio>
#include <cstdlib>
#include <map>

#include "microvmi/init_params.hpp"

namespace {

namespace param = microvmi::param;

// TOML 1.0, basic strings: what must be escaped.
std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
      continue;
    }
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", byte);
    out += escape;
  }
  return out + '"';
}

std::string to_toml(const std::vector<param::Setting>& settings) {
  std::map<std::string, std::string> values;
  for (const param::Setting& one : settings) {
    std::string& list = values[one.key];
    list.append(list.empty() ? "" : ", ").append(toml_text(one.value));
  }
  std::string out;
  for (const auto& [key, list] : values) out += toml_text(key) + " = [" + list + "]\n";
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using microvmi::DriverParams;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = DriverParams::from_toml(text, "fuzz");
  if (!file) {
    if (file.error().message.empty()) std::abort();
    return 0;
  }
  if (file->explain().size() != param::table<microvmi::DriverInitParams>().rows.size())
    std::abort();
  const auto once = file->read();
  if (!once) {
    if (once.error().empty()) std::abort();
    return 0;
  }
  const auto again = DriverParams::from_toml(to_toml(param::settings_of(*once)), "again");
  if (!again) std::abort();
  const auto twice = again->read();
  if (!twice || !(*twice == *once)) std::abort();
  return 0;
}
