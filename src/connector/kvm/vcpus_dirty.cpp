// SPDX-License-Identifier: Apache-2.0
// From addresses of the process to those of the guest. Memory that came or moved since the last
// look counts as written.
#include "connector/kvm/vcpus_dirty.hpp"

#include <algorithm>

#include "host/linux/write_watch.hpp"

namespace microvmi::kvm_connector {
namespace {

using host::HvaRange;
using host::Segment;

constexpr std::chrono::seconds kDirtyPatience{5};

void append(std::vector<PageRange>& to, PageRange range) {
  if (!to.empty() && to.back().gpa + to.back().size == range.gpa)
    to.back().size += range.size;
  else
    to.push_back(range);
}

// Ranges of the process that hold these segments: sorted, without overlap. Those that touch stay
// apart: one of them may be mapped anew and the other not.
std::vector<HvaRange> ranges_of(const std::vector<Segment>& segments) {
  std::vector<HvaRange> all;
  for (const Segment& one : segments) all.push_back({one.hva, one.hva + one.size});
  std::ranges::sort(all, {}, &HvaRange::start);
  std::vector<HvaRange> out;
  for (const HvaRange& one : all)
    if (out.empty() || out.back().end <= one.start)
      out.push_back(one);
    else
      out.back().end = std::max(out.back().end, one.end);
  return out;
}

// The part of a segment that lies in written ranges, which are sorted.
void translate(const Segment& segment, const std::vector<HvaRange>& written,
               std::vector<PageRange>& out) {
  const std::uint64_t end = segment.hva + segment.size;
  auto at = std::ranges::upper_bound(written, segment.hva, {}, &HvaRange::end);
  for (; at != written.end() && at->start < end; ++at) {
    const std::uint64_t first = std::max(at->start, segment.hva);
    const std::uint64_t last = std::min(at->end, end);
    append(out, {segment.gpa + (first - segment.hva), last - first});
  }
}

class WrittenPages final : public DirtyPages {
 public:
  WrittenPages(host::KvmControl& control, host::ProcessMemory& memory)
      : control_(control), memory_(memory) {}

  Expected<void> begin() override {
    if (watch_) return fail(Errc::busy, "written pages are tracked already");
    if (auto looked = memory_.refresh(); !looked) return looked;
    known_ = memory_.layout().segments;
    auto watch = start();
    if (!watch) return std::unexpected(watch.error());
    watch_ = *std::move(watch);
    return {};
  }

  Expected<std::vector<PageRange>> take() override {
    if (!watch_) return fail(Errc::busy, "written pages are not tracked: begin first");
    if (auto looked = memory_.refresh(); !looked) return std::unexpected(looked.error());
    const auto now = memory_.layout().segments;
    auto written = watch_->take(ranges_of(now));
    if (!written) return std::unexpected(written.error());
    std::ranges::sort(*written, {}, &HvaRange::start);
    std::vector<PageRange> out;
    for (const Segment& one : now)
      if (std::ranges::find(known_, one) == known_.end())
        append(out, {one.gpa, one.size});
      else
        translate(one, *written, out);
    known_ = now;
    return out;
  }

  Expected<void> end() override {
    if (!watch_) return fail(Errc::busy, "written pages are not tracked");
    watch_.reset();
    return {};
  }

 private:
  Expected<std::unique_ptr<host::WriteWatch>> start() {
    if (host::has_soft_dirty()) return host::watch_soft_dirty(control_.process());
    auto descriptor = control_.make_userfaultfd(Wait::at_most(kDirtyPatience));
    if (!descriptor) return std::unexpected(descriptor.error());
    return host::watch_by_userfaultfd(control_.process(), *std::move(descriptor),
                                      ranges_of(known_));
  }

  host::KvmControl& control_;
  host::ProcessMemory& memory_;
  std::unique_ptr<host::WriteWatch> watch_;
  std::vector<Segment> known_;
};

}  // namespace

std::unique_ptr<DirtyPages> make_dirty_pages(host::KvmControl& control,
                                             host::ProcessMemory& memory) {
  if (!host::has_soft_dirty() && !(control.injects() && host::has_write_protection()))
    return nullptr;
  return std::make_unique<WrittenPages>(control, memory);
}

}  // namespace microvmi::kvm_connector
