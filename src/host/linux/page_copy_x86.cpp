// SPDX-License-Identifier: Apache-2.0
// page_copy in steps of 128 bytes, each loaded before it is stored, where the processor has AVX;
// the beginning of the next page is fetched ahead.
#include <immintrin.h>

#include <cstring>

#include "host/linux/page_copy.hpp"

namespace microvmi::host {
namespace {

constexpr std::size_t kStep = 128;
constexpr std::uintptr_t kLine = 64;  // of a cache
constexpr std::size_t kAhead = 28;    // lines: fewer help less, more only cost
static_assert(kLeastPageCopy >= kStep + kLine);

const bool kHasAvx = __builtin_cpu_supports("avx");

// Unrolled by hand: a loop over an array of vectors would go through the stack in builds without
// optimisation, and registers are what this is about.
[[gnu::target("avx")]] void copy_step(std::byte* to, const std::byte* from) {
  const auto* const in = reinterpret_cast<const __m256i_u*>(from);
  auto* const out = reinterpret_cast<__m256i_u*>(to);
  const __m256i a = _mm256_loadu_si256(in);
  const __m256i b = _mm256_loadu_si256(in + 1);
  const __m256i c = _mm256_loadu_si256(in + 2);
  const __m256i d = _mm256_loadu_si256(in + 3);
  _mm256_storeu_si256(out, a);
  _mm256_storeu_si256(out + 1, b);
  _mm256_storeu_si256(out + 2, c);
  _mm256_storeu_si256(out + 3, d);
}

// Between two copies nobody loads: the beginning of what most likely comes next is on its way
// meanwhile, and the way to the next copy costs nothing. Asked for before or within the copy it
// would delay loads that are waited for. A prefetch of what is not there does nothing.
void fetch_next(const std::byte* next) {
  for (std::size_t i = 0; i < kAhead; ++i) __builtin_prefetch(next + i * kLine);
}

// Loads that cross from line to line take twice as long for some places of the buffer.
[[gnu::target("avx")]] void copy_steps(std::byte* to, const std::byte* from, std::size_t size) {
  const std::size_t head = -reinterpret_cast<std::uintptr_t>(from) % kLine;
  if (head != 0) std::memcpy(to, from, kLine);
  to += head;
  from += head;
  size -= head;
  for (std::size_t done = 0; done < size - kStep; done += kStep) copy_step(to + done, from + done);
  // The last one may cover some of what the one before did.
  copy_step(to + size - kStep, from + size - kStep);
  fetch_next(from + size);
}

}  // namespace

void page_copy(void* to, const void* from, std::size_t size) {
  if (kHasAvx)
    copy_steps(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), size);
  else
    std::memcpy(to, from, size);
}

}  // namespace microvmi::host
