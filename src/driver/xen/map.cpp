// SPDX-License-Identifier: Apache-2.0
// The map of HVM and PVH guests, frame by frame, and the bound where that cannot be had.
#include "driver/xen/map.hpp"

#include <algorithm>
#include <cerrno>

#include "driver/xen/pv_frames.hpp"
#include "driver/xen/regions.hpp"

namespace microvmi::xen {
namespace {

// XEN_DOMCTL_getpageframeinfo3 takes no more at once; XEN_DOMCTL_PFINFO_* are the bits above 28.
constexpr std::size_t kTypesAtOnce = 1024;
constexpr std::uint64_t kInvalidType = 0xf0000000;
constexpr std::uint64_t kBrokenType = 0xd0000000;

// Between RAM below and above 4 GiB (xen/hvm/e820.h, HVM_BELOW_4G_RAM_END) are devices, and the
// pages that Xen's tools put there for the guest. They are looked at first: then the search can end
// behind the last page of RAM.
constexpr std::uint64_t kLowEnd = 0xf0000;
constexpr std::uint64_t kHighBegin = 0x100000;

class Scan {
 public:
  explicit Scan(const Guest& guest) : guest_(guest) {}

  // Adds the pages that there are in [first, last) until all pages of the domain were found.
  Errno look(std::uint64_t first, std::uint64_t last, std::uint64_t most) {
    std::vector<std::uint64_t> types;
    while (first < last && found_ < most) {
      types.resize(std::min<std::uint64_t>(kTypesAtOnce, last - first));
      std::uint64_t frame = first;
      for (std::uint64_t& one : types) one = frame++;
      if (const Errno error = guest_.xen().frame_types(guest_.domid(), types); error != 0)
        return error;
      for (const std::uint64_t type : types) {
        const std::uint64_t kind = type & kInvalidType;
        if (kind != kInvalidType && kind != kBrokenType) add(first);
        ++first;
      }
    }
    return 0;
  }

  [[nodiscard]] Runs& runs() { return runs_; }

 private:
  void add(std::uint64_t frame) {
    ++found_;
    add_frame(runs_, frame);
  }

  const Guest& guest_;
  std::uint64_t found_ = 0;
  Runs runs_{};
};

MemoryMap bound(std::uint64_t frames) {
  return {.regions = {{.gpa = Gpa{}, .size = std::min(frames, kFrameLimit) * kPageSize}},
          .exact = false};
}

Expected<std::uint64_t> frames_of(const Guest& guest) {
  std::uint64_t last = 0;
  const Errno error = guest.is_hvm() ? guest.xen().last_frame(guest.domid(), last)
                                     : guest.xen().last_host_frame(last);
  if (error != 0) return guest.failure(error, "ask for the last frame");
  return std::min(last, kFrameLimit - 1) + 1;
}

// Asking for a page that is populated on demand would populate it.
bool may_ask(const Guest& guest) {
  std::uint64_t waiting = 0;
  std::uint64_t at_hand = 0;
  return guest.xen().pages_on_demand(guest.domid(), waiting, at_hand) == 0 && waiting == 0;
}

Expected<MemoryMap> hvm_map(const Guest& guest, std::uint64_t frames) {
  const auto now = guest.look();
  if (!now) return std::unexpected(now.error());
  if (!may_ask(guest)) return bound(frames);
  Scan scan(guest);
  Errno error = scan.look(std::min(kLowEnd, frames), std::min(kHighBegin, frames), now->pages);
  if (error == 0) error = scan.look(0, std::min(kLowEnd, frames), now->pages);
  if (error == 0) error = scan.look(kHighBegin, frames, now->pages);
  if (error == ENOSYS) return bound(frames);
  if (error != 0) return guest.failure(error, "ask which frames there are");
  return MemoryMap{.regions = regions_of(scan.runs()), .exact = true};
}

}  // namespace

Expected<MemoryMap> build_map(const Guest& guest) {
  const auto frames = frames_of(guest);
  if (!frames) return std::unexpected(frames.error());
  auto map = guest.is_hvm() ? hvm_map(guest, *frames) : pv_map(guest, *frames);
  if (map && !map->regions.empty()) return map;
  if (!map && map.error().code == Errc::disconnected) return map;
  return bound(*frames);
}

}  // namespace microvmi::xen
