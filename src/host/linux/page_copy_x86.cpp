// SPDX-License-Identifier: Apache-2.0
// page_copy by `rep movsb`, where the processor says that it is fast.
#include <cpuid.h>

#include <cstring>

#include "host/linux/page_copy.hpp"

namespace microvmi::host {
namespace {

// ERMS: CPUID leaf 7, EBX bit 9 (Intel SDM, volume 2, CPUID).
bool has_fast_strings() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx >> 9 & 1) != 0;
}

const bool kFastStrings = has_fast_strings();

}  // namespace

void page_copy(void* to, const void* from, std::size_t size) {
  if (!kFastStrings) {
    std::memcpy(to, from, size);
    return;
  }
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

}  // namespace microvmi::host
