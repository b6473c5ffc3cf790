// SPDX-License-Identifier: Apache-2.0
// The functions of libxenforeignmemory that it calls.
#include "xen/bare.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <numeric>

#include "microvmi/address.hpp"
#include "xen/shared_library.hpp"

namespace microvmi::test::xen {

struct Bare::Library {
  void* (*open)(void* logger, unsigned flags);
  int (*close)(void* handle);
  void* (*map)(void* handle, std::uint32_t domid, int protection, std::size_t count,
               const std::uint64_t* frames, int* errors);
  int (*unmap)(void* handle, void* address, std::size_t count);
};

const Bare::Library* Bare::library() {
  static const Library* const loaded = []() -> const Library* {
    const SharedLibrary so("libxenforeignmemory.so.1");
    static Library made{};
    const bool all = so.find(made.open, "xenforeignmemory_open") &&
                     so.find(made.close, "xenforeignmemory_close") &&
                     so.find(made.map, "xenforeignmemory_map") &&
                     so.find(made.unmap, "xenforeignmemory_unmap");
    return all ? &made : nullptr;
  }();
  return loaded;
}

Outcome<Bare> Bare::open(std::uint16_t domid) {
  const Library* const functions = library();
  if (functions == nullptr) return std::unexpected("no libxenforeignmemory.so.1");
  Handle handle(functions->open(nullptr, 0), functions->close);
  if (!handle)
    return std::unexpected("xenforeignmemory_open: " + std::string(std::strerror(errno)));
  return Bare(functions, std::move(handle), domid);
}

bool Bare::copy(std::span<const std::uint64_t> frames, std::span<std::byte> into) const {
  std::vector<int> errors(frames.size());
  void* const mapped =
      library_->map(handle_.get(), domid_, PROT_READ, frames.size(), frames.data(), errors.data());
  if (mapped == nullptr) return false;
  const bool whole = std::accumulate(errors.begin(), errors.end(), 0,
                                     [](int sum, int one) { return sum | one; }) == 0;
  if (whole) std::memcpy(into.data(), mapped, into.size());
  library_->unmap(handle_.get(), mapped, frames.size());
  return whole;
}

std::vector<bool> Bare::holes(std::span<const std::uint64_t> frames) const {
  std::vector<int> errors(frames.size(), -1);
  void* const mapped =
      library_->map(handle_.get(), domid_, PROT_READ, frames.size(), frames.data(), errors.data());
  if (mapped != nullptr) library_->unmap(handle_.get(), mapped, frames.size());
  std::vector<bool> found;
  for (const int error : errors) found.push_back(mapped == nullptr || error != 0);
  return found;
}

Outcome<std::vector<std::byte>> Bare::read(std::uint64_t gpa, std::size_t size) const {
  const std::uint64_t first = gpa / kPageSize;
  std::vector<std::uint64_t> frames((gpa + size - 1) / kPageSize - first + 1);
  std::iota(frames.begin(), frames.end(), first);
  std::vector<std::byte> pages(frames.size() * kPageSize);
  if (!copy(frames, pages)) return std::unexpected("xen maps no frame " + std::to_string(first));
  const auto start = pages.begin() + static_cast<std::ptrdiff_t>(gpa % kPageSize);
  return std::vector<std::byte>(start, start + static_cast<std::ptrdiff_t>(size));
}

}  // namespace microvmi::test::xen
