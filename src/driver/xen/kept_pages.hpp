// SPDX-License-Identifier: Apache-2.0
// KeptPages: pages that stay mapped between small reads, while we hold the domain paused.
//
// Walks of page tables read eight bytes at a time, mostly of the same few pages, and to map one
// costs far more than to copy from it. A guest that runs may give a page back that a mapping would
// hold on to; one that is paused cannot.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "driver/xen/guest.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::xen {

// Threads: any call from any.
class KeptPages {
 public:
  static constexpr std::size_t kMost = 64;

  explicit KeptPages(const Guest& guest) : guest_(guest) {}

  void begin();  // we have paused the domain
  void end();    // it is about to run: nothing stays mapped
  void drop();   // what is mapped is looked for again

  // Serves a read within one page. False: nothing was done, read it as any other.
  [[nodiscard]] bool read(ReadRequest& request);

 private:
  using Page = std::shared_ptr<const std::byte>;
  struct Kept {
    std::uint64_t frame;
    Page page;
  };

  [[nodiscard]] Page find(std::uint64_t frame, std::uint64_t& epoch);
  [[nodiscard]] Page map(std::uint64_t frame) const;
  void keep(Kept page, std::uint64_t epoch);

  const Guest& guest_;
  std::atomic<bool> on_ = false;
  std::mutex mutex_{};
  std::uint64_t epoch_ = 0;   // grows with each begin() and drop()
  std::vector<Kept> kept_{};  // the one used last at the end
};

}  // namespace microvmi::xen
