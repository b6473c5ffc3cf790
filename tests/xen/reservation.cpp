// SPDX-License-Identifier: Apache-2.0
// The functions of libxenctrl, of the Xen that make-host makes, that it calls.
#include "xen/reservation.hpp"

#include <cerrno>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "xen/shared_library.hpp"

namespace microvmi::test::xen {
namespace {

std::vector<std::uint64_t> frames_of(std::uint64_t first, std::uint64_t count) {
  std::vector<std::uint64_t> frames(count);
  std::iota(frames.begin(), frames.end(), first);
  return frames;
}

}  // namespace

struct Reservation::Library {
  void* (*open)(void* logger, void* builder_logger, unsigned flags);
  int (*close)(void* handle);
  int (*decrease)(void* handle, std::uint32_t domid, unsigned long count, unsigned order,
                  std::uint64_t* frames);
  int (*populate)(void* handle, std::uint32_t domid, unsigned long count, unsigned order,
                  unsigned flags, std::uint64_t* frames);
};

const Reservation::Library* Reservation::library() {
  static const Library* const loaded = []() -> const Library* {
    const SharedLibrary so("libxenctrl.so.4.17");
    static Library made{};
    const bool all = so.find(made.open, "xc_interface_open") &&
                     so.find(made.close, "xc_interface_close") &&
                     so.find(made.decrease, "xc_domain_decrease_reservation_exact") &&
                     so.find(made.populate, "xc_domain_populate_physmap_exact");
    return all ? &made : nullptr;
  }();
  return loaded;
}

Outcome<Reservation> Reservation::open(std::uint16_t domid) {
  const Library* const functions = library();
  if (functions == nullptr) return std::unexpected("no libxenctrl.so.4.17");
  Handle handle(functions->open(nullptr, nullptr, 0), functions->close);
  if (!handle) return std::unexpected("xc_interface_open: " + std::string(std::strerror(errno)));
  return Reservation(functions, std::move(handle), domid);
}

bool Reservation::take(std::uint64_t first, std::uint64_t count) const {
  auto frames = frames_of(first, count);
  return library_->decrease(handle_.get(), domid_, count, 0, frames.data()) == 0;
}

bool Reservation::give(std::uint64_t first, std::uint64_t count) const {
  auto frames = frames_of(first, count);
  return library_->populate(handle_.get(), domid_, count, 0, 0, frames.data()) == 0;
}

}  // namespace microvmi::test::xen
