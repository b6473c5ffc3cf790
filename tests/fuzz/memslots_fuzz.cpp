// SPDX-License-Identifier: Apache-2.0
// Memory slots: the records of the BPF program, and what a VMM of any mind can put into them.
#include <algorithm>
#include <cstdlib>
#include <span>

#include "connector/kvm/layout.hpp"

namespace host = microvmi::host;

namespace {

void require(bool good) {
  if (!good) std::abort();
}

void check_view(const host::SlottedVm& vm) {
  const auto view = microvmi::kvm_connector::view_of(vm, {});
  if (!view) return;
  const auto& segments = view->layout.segments;
  require(!segments.empty() && segments.size() <= vm.slots.size());
  require(std::ranges::is_sorted(segments, {}, &host::Segment::gpa));
}

}  // namespace

// The first byte is the number of records of the first pass; the rest is the second one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::size_t first = std::min<std::size_t>(std::size_t{data[0]} * 48, size - 1);
  host::MemslotRecords records;
  auto state = records.add(bytes.subspan(1, first));
  if (state && *state == host::MemslotRecords::State::more)
    state = records.add(bytes.subspan(1 + first));
  if (!state || *state != host::MemslotRecords::State::done) return 0;
  for (const host::SlottedVm& vm : records.take()) {
    require(vm.slots.size() <= size / 48);
    for (const host::Memslot& slot : vm.slots) require(slot.size != 0 && slot.space < vm.spaces);
    check_view(vm);
  }
  return 0;
}
