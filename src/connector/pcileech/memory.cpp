// SPDX-License-Identifier: Apache-2.0
// The map, and reading: while LeechCore fills one half of the pages the other is copied out.
#include "connector/pcileech/memory.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "connector/pcileech/cursor.hpp"

namespace microvmi::pcileech_connector {
namespace {

constexpr std::uint32_t kLaneSlots = kSlots / 2;
constexpr std::size_t kLaneParts = 8 * std::size_t{kLaneSlots};  // where many are of one page

// Half of the pages, on their way or back.
struct Lane {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::vector<Part> parts{};
};

class Reader {
 public:
  Reader(Helper& helper, std::span<ReadRequest> batch, const MemoryMap& map,
         std::chrono::milliseconds timeout)
      : helper_(helper), batch_(batch), cursor_(batch, map), timeout_(timeout) {
    lanes_[1].first = kLaneSlots;
  }

  void run() {
    Lane* now = lanes_.data();
    Lane* next = now + 1;
    if (!begin(*now)) return;
    while (!now->parts.empty()) {
      if (!begin(*next) || !finish(*now)) return;
      std::swap(now, next);
    }
  }

 private:
  bool begin(Lane& lane) {
    fill(lane);
    if (lane.count == 0) return true;
    const auto sent = helper_.send({.op = Op::read, .first = lane.first, .count = lane.count});
    return sent || give_up(sent.error().code);
  }

  void fill(Lane& lane) {
    lane.parts.clear();
    lane.count = 0;
    std::uint64_t page = 0;
    while (lane.count < kLaneSlots && lane.parts.size() < kLaneParts) {
      auto part = cursor_.next();
      if (!part) return;
      if (part->size != 0 && (lane.count == 0 || part->page() != page)) {
        page = part->page();
        helper_.shared().pieces[lane.first + lane.count] = {.gpa = page, .size = kSlotSize};
        ++lane.count;
      }
      part->slot = lane.first + lane.count - 1;
      lane.parts.push_back(*part);
    }
  }

  bool finish(Lane& lane) {
    if (lane.count != 0) {
      const auto answer = helper_.receive(Wait::at_most(timeout_));
      if (!answer) return give_up(answer.error().code);
      if (answer->result != Result::ok || answer->first != lane.first)
        return give_up(Errc::protocol);
    }
    for (const Part& part : lane.parts) settle(part);
    lane.parts.clear();
    return true;
  }

  void settle(const Part& part) {
    ReadRequest& request = batch_[part.index];
    if (request.status != Errc::none) return;
    if (part.size == 0) return fail_at(request, part, Errc::hole);
    if (helper_.shared().pieces[part.slot].done != 1) return fail_at(request, part, Errc::io);
    std::memcpy(request.into.data() + request.done,
                helper_.shared().slots[part.slot].data() + part.gpa % kPageSize, part.size);
    request.done += part.size;
  }

  bool give_up(Errc code) {
    fail_rest(batch_, code);
    return false;
  }

  Helper& helper_;
  std::span<ReadRequest> batch_;
  Cursor<ReadRequest> cursor_;
  std::chrono::milliseconds timeout_;
  std::array<Lane, 2> lanes_;
};

}  // namespace

std::shared_ptr<const MemoryMap> LeechMemory::map() const {
  const std::scoped_lock lock(map_lock_);
  return map_;
}

void tell(const LogSink& log, std::span<const std::string> lines) {
  if (!log) return;
  for (const std::string& line : lines) log("pcileech: LeechCore: " + line);
}

// A device that complains of every page must not fill anybody's disk.
void LeechMemory::tell() const {
  constexpr std::size_t kMostTold = 1000;
  const auto lines = helper_->output().take(false);
  if (!manner_.log || lines.empty() || told_ == kMostTold) return;
  const auto more = std::min(lines.size(), kMostTold - told_);
  pcileech_connector::tell(manner_.log, std::span(lines).first(more));
  told_ += more;
  if (told_ == kMostTold)
    manner_.log("pcileech: what LeechCore prints from now on is not told any more");
}

Expected<void> LeechMemory::refresh() {
  if (manner_.given) return {};
  auto now = [&] {
    const std::scoped_lock lock(calls_);
    auto answer = ask_map(*helper_, is_volatile_, Wait::at_most(manner_.timeout));
    tell();
    return answer;
  }();
  if (!now) return std::unexpected(std::move(now.error()));
  const std::scoped_lock lock(map_lock_);
  if (now->regions == map_->regions) return {};
  now->generation = map_->generation + 1;
  map_ = std::make_shared<const MemoryMap>(*std::move(now));
  return {};
}

void LeechMemory::read_batch(std::span<ReadRequest> batch) const {
  const auto map = this->map();
  const std::scoped_lock lock(calls_);
  Reader(*helper_, batch, *map, manner_.timeout).run();
  tell();
}

}  // namespace microvmi::pcileech_connector
