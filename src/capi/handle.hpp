// SPDX-License-Identifier: Apache-2.0
// What the handles of the C API are, and how its functions fail.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "microvmi/mvmi.h"
#include "microvmi/vm.hpp"

struct mvmi_vm {
  microvmi::Vm vm;
  std::vector<microvmi::PageRange> untold{};  // dirty pages that did not fit the last time
};

struct mvmi_error {
  microvmi::Error error;
};

namespace microvmi::capi {

inline int failed(mvmi_error** out, Error error) {
  if (out) *out = new mvmi_error{std::move(error)};
  return 0;
}

inline int failed(mvmi_error** out, const char* message) {
  return failed(out, Error{.code = Errc::invalid_argument, .message = message});
}

inline int done(const Expected<void>& result, mvmi_error** out) {
  return result ? 1 : failed(out, result.error());
}

}  // namespace microvmi::capi
