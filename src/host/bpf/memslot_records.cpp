// SPDX-License-Identifier: Apache-2.0
// Records of memslots.bpf.c, checked.
#include "host/bpf/memslot_records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace microvmi::host {
namespace {

enum class Kind : std::uint32_t { vm = 1, slot = 2, end = 3 };
constexpr std::uint32_t kOwnMemory = 1;  // of Kind::vm
constexpr std::uint32_t kMore = 1;       // of Kind::end
constexpr std::uint32_t kChanged = 2;
constexpr std::uint32_t kFaulted = 4;

struct Record {
  Kind kind;
  std::uint32_t fd;
  std::uint64_t vm;
  std::uint64_t gpa;   // vm: type
  std::uint64_t size;  // vm, end: generation of space 0
  std::uint64_t hva;   // vm, end: generation of space 1
  std::uint32_t flags;
  std::int16_t id;  // vm: address spaces
  std::uint16_t space;
};
static_assert(sizeof(Record) == 48, "as memslots.bpf.c has it");

std::unexpected<Error> malformed(const char* what) {
  return fail(Errc::protocol, fmt::format("the kernel's memory slots: {}", what));
}

}  // namespace

// One pass, record by record.
struct MemslotRecords::Reader {
  MemslotRecords& all;
  bool first;             // of the passes
  Known* open = nullptr;  // the VM whose slots follow
  State state = State::done;

  Expected<void> take(const Record& r) {
    switch (r.kind) {
      case Kind::vm:
        return begin(r);
      case Kind::slot:
        return slot(r);
      case Kind::end:
        return end(r);
    }
    return malformed("a record of an unknown kind");
  }

  Expected<void> begin(const Record& r) {
    if (open) return malformed("a virtual machine without its end");
    if (!first) return go_on(r);
    if (r.id < 1 || r.id > 2) return malformed("no number of address spaces");
    all.known_.push_back({.vm = {.fd = static_cast<int>(r.fd),
                                 .identity = r.vm,
                                 .type = r.gpa,
                                 .own_memory = (r.flags & kOwnMemory) != 0,
                                 .spaces = static_cast<std::uint16_t>(r.id)},
                          .generations = {r.size, r.hva}});
    open = &all.known_.back();
    return {};
  }

  Expected<void> go_on(const Record& r) {
    const auto same = [&r](const Known& one) {
      return one.vm.fd == static_cast<int>(r.fd) && one.vm.identity == r.vm &&
             one.generations[0] == r.size && one.generations[1] == r.hva;
    };
    const auto found = std::ranges::find_if(all.known_, same);
    if (found == all.known_.end())
      state = State::changed;
    else
      open = &*found;
    return {};
  }

  Expected<void> slot(const Record& r) {
    if (state == State::changed) return {};
    if (!open || open->vm.identity != r.vm) return malformed("a slot without its virtual machine");
    if (r.space >= open->vm.spaces)
      return malformed("a slot of an address space that is not there");
    if (open->vm.slots.size() >= kMostSlots) return malformed("more slots than KVM can have");
    open->vm.slots.push_back({.gpa = r.gpa,
                              .size = r.size,
                              .hva = r.hva,
                              .flags = r.flags,
                              .id = r.id,
                              .space = r.space});
    return {};
  }

  Expected<void> end(const Record& r) {
    if (state == State::changed) return {};
    if (!open || open->vm.identity != r.vm) return malformed("an end without its virtual machine");
    if ((r.flags & kChanged) != 0) state = State::changed;
    if (state == State::changed) return {};
    if ((r.flags & kFaulted) != 0) return malformed("there are too many to be walked through");
    if ((r.flags & kMore) != 0) {
      const auto told = static_cast<std::uint32_t>(open->vm.slots.size());
      if (told <= all.next_ && state != State::more) return malformed("a pass that told nothing");
      all.next_ = std::max(all.next_, told);
      state = State::more;
    } else if (open->vm.slots.size() != r.gpa) {
      return malformed("some are missing");
    } else {
      open->complete = true;
    }
    open = nullptr;
    return {};
  }
};

Expected<MemslotRecords::State> MemslotRecords::add(std::span<const std::byte> pass) {
  if (pass.size() % sizeof(Record) != 0) return malformed("half a record");
  Reader reader{.all = *this, .first = known_.empty()};
  for (; !pass.empty() && reader.state != State::changed; pass = pass.subspan(sizeof(Record))) {
    Record record;
    std::memcpy(&record, pass.data(), sizeof record);
    if (auto done = reader.take(record); !done) return std::unexpected(done.error());
  }
  if (reader.state != State::changed && reader.open)
    return malformed("a virtual machine without its end");
  // One that was closed between two passes is not told of again.
  if (reader.state == State::done && !std::ranges::all_of(known_, &Known::complete))
    return State::changed;
  return reader.state;
}

std::vector<SlottedVm> MemslotRecords::take() {
  std::vector<SlottedVm> out;
  for (Known& one : known_) {
    if (std::ranges::find(out, one.vm.identity, &SlottedVm::identity) != out.end()) continue;
    std::erase_if(one.vm.slots, [](const Memslot& slot) { return slot.size == 0; });
    out.push_back(std::move(one.vm));
  }
  known_.clear();
  next_ = 0;
  return out;
}

}  // namespace microvmi::host
