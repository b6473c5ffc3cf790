// SPDX-License-Identifier: Apache-2.0
// SharedLibrary: a library of Xen's, loaded by its versioned name as on any host that has Xen, and
// its functions by their names. It stays loaded.
#pragma once

#include <dlfcn.h>

#include <type_traits>

namespace microvmi::test::xen {

class SharedLibrary {
 public:
  explicit SharedLibrary(const char* name) : handle_(::dlopen(name, RTLD_NOW)) {}

  // False where there is none of this name, or no such library.
  template <class Function>
  [[nodiscard]] bool find(Function& function, const char* name) const {
    static_assert(std::is_pointer_v<Function>);
    if (handle_ == nullptr) return false;
    function = reinterpret_cast<Function>(::dlsym(handle_, name));
    return function != nullptr;
  }

 private:
  void* handle_;
};

}  // namespace microvmi::test::xen
