// SPDX-License-Identifier: Apache-2.0
// Writing: what LeechCore's dwords need beside a write is read first, and every result looked at.
#include <cstring>
#include <vector>

#include "connector/pcileech/cursor.hpp"
#include "connector/pcileech/memory.hpp"

namespace microvmi::pcileech_connector {
namespace {

// Of MEM_SCATTER: whole dwords, and no less than two.
constexpr std::uint64_t kDword = 4;
constexpr std::uint64_t kLeast = 8;

// LeechCore leaves a piece with this address alone (MEM_SCATTER_ADDR_INVALID).
constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

// The smallest piece that LeechCore takes and that holds the part.
Piece piece_around(const Part& part) {
  std::uint64_t begin = part.gpa - part.gpa % kDword;
  std::uint64_t end = part.gpa + part.size + kDword - 1;
  end -= end % kDword;
  if (end - begin < kLeast) {
    if (end % kPageSize == 0)
      begin = end - kLeast;
    else
      end = begin + kLeast;
  }
  return {.gpa = begin, .size = static_cast<std::uint32_t>(end - begin)};
}

class Writer {
 public:
  Writer(Helper& helper, std::span<WriteRequest> batch, const MemoryMap& map,
         std::chrono::milliseconds timeout)
      : helper_(helper), batch_(batch), cursor_(batch, map), timeout_(timeout) {}

  void run() {
    std::optional<Part> part = cursor_.next();
    while (part) {
      // A page is in a call once: what is read of it must have been written before.
      if (count_ == kSlots || parts_.size() == 2 * kSlots || is_taken(*part))
        if (!flush()) return;
      if (!add(*part)) return;
      part = cursor_.next();
    }
    static_cast<void>(flush());
  }

 private:
  [[nodiscard]] bool is_taken(const Part& part) const {
    return part.size != 0 && std::ranges::any_of(parts_, [&](const Part& other) {
             return other.size != 0 && other.page() == part.page();
           });
  }

  bool add(Part part) {
    part.slot = count_;
    parts_.push_back(part);
    if (part.size == 0) return true;
    ++count_;
    const Piece piece = piece_around(part);
    Piece& shared = helper_.shared().pieces[part.slot];
    if (piece.size != part.size) {
      // All of the page, for what read_batch() has to say of it too.
      shared = {.gpa = part.page(), .size = kSlotSize};
      if (!call(Op::read, part.slot, 1)) return false;
    }
    const bool lacks_rest = piece.size != part.size && shared.done != 1;
    shared = piece;
    if (lacks_rest) shared.gpa = kNowhere;
    const WriteRequest& request = batch_[part.index];
    std::memcpy(helper_.shared().slots[part.slot].data() + part.gpa % kPageSize,
                request.from.data() + (part.gpa - to_integer(request.gpa)), part.size);
    return true;
  }

  bool flush() {
    if (count_ != 0 && !call(Op::write, 0, count_)) return false;
    for (const Part& part : parts_) settle(part);
    parts_.clear();
    count_ = 0;
    return true;
  }

  void settle(const Part& part) {
    WriteRequest& request = batch_[part.index];
    if (request.status != Errc::none) return;
    if (part.size == 0) return fail_at(request, part, Errc::hole);
    if (helper_.shared().pieces[part.slot].done != 1) return fail_at(request, part, Errc::io);
    request.done += part.size;
  }

  bool call(Op op, std::uint32_t first, std::uint32_t count) {
    const auto answer =
        helper_.call({.op = op, .first = first, .count = count}, Wait::at_most(timeout_));
    if (answer && answer->result == Result::ok) return true;
    fail_rest(batch_, answer ? Errc::protocol : answer.error().code);
    return false;
  }

  Helper& helper_;
  std::span<WriteRequest> batch_;
  Cursor<WriteRequest> cursor_;
  std::chrono::milliseconds timeout_;
  std::vector<Part> parts_;
  std::uint32_t count_ = 0;
};

}  // namespace

void LeechMemory::write_batch(std::span<WriteRequest> batch) {
  if (!is_writable_) return fail_rest(batch, Errc::read_only);
  const auto map = this->map();
  const std::scoped_lock lock(calls_);
  Writer(*helper_, batch, *map, manner_.timeout).run();
  tell();
}

}  // namespace microvmi::pcileech_connector
