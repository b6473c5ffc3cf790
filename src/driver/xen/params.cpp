// SPDX-License-Identifier: Apache-2.0
// What a uuid looks like.
#include <string_view>

#include "microvmi/driver/xen.hpp"

namespace microvmi {
namespace {

// RFC 4122 section 3: 8-4-4-4-12 hex digits.
bool is_uuid(std::string_view text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (text.size() != kForm.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex = std::string_view("0123456789abcdefABCDEF").contains(text[i]);
    if (kForm[i] == '-' ? text[i] != '-' : !hex) return false;
  }
  return true;
}

}  // namespace

param::Checked XenInitParams::check() const {
  if (!uuid || is_uuid(*uuid)) return {};
  return std::unexpected("has uuid '" + *uuid + "', which is not written as 8-4-4-4-12 hex digits");
}

}  // namespace microvmi
