// SPDX-License-Identifier: Apache-2.0
// Finding LeechCore's functions.
#include "leechcore.hpp"

#include <dlfcn.h>

namespace microvmi::leechcore {
namespace {

using pcileech_connector::Result;

const char* last_error() {
  const char* text = ::dlerror();
  return text ? text : "no reason is given";
}

}  // namespace

std::expected<Functions, Failure> load(const char* path) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::unexpected(Failure{Result::no_library, last_error()});
  std::string missing;
  const auto find = [&]<class Function>(const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(::dlsym(library, name));
    if (!function && missing.empty()) missing = name;
  };
  Functions out;
  find("LcCreateEx", out.create);
  find("LcMemFree", out.free);
  find("LcReadScatter", out.read);
  find("LcWriteScatter", out.write);
  find("LcGetOption", out.get);
  find("LcCommand", out.command);
  find("LcClose", out.close);
  if (!missing.empty()) return std::unexpected(Failure{Result::no_symbol, missing});
  return out;
}

}  // namespace microvmi::leechcore
