// SPDX-License-Identifier: Apache-2.0
// Cursor: the requests of a batch, cut at pages, one part after the other.
#pragma once

#include <algorithm>
#include <optional>
#include <span>

#include "microvmi/memory.hpp"

namespace microvmi::pcileech_connector {

inline std::size_t size_of(const ReadRequest& request) { return request.into.size(); }
inline std::size_t size_of(const WriteRequest& request) { return request.from.size(); }

// A part of request `index` that lies in one page; in a hole where its size is 0.
struct Part {
  std::size_t index = 0;
  std::uint64_t gpa = 0;
  std::size_t size = 0;
  std::uint32_t slot = 0;  // for whoever moves it

  [[nodiscard]] std::uint64_t page() const { return gpa - gpa % kPageSize; }
};

template <class Request>
class Cursor {
 public:
  Cursor(std::span<Request> batch, const MemoryMap& map) : batch_(batch), map_(map) {}

  // Nothing more of a request that has failed, or has reached a hole.
  std::optional<Part> next() {
    while (index_ != batch_.size()) {
      const Request& request = batch_[index_];
      const std::size_t left = size_of(request) - offset_;
      if (left == 0 || request.status != Errc::none) {
        skip();
        continue;
      }
      Part part{.index = index_, .gpa = to_integer(request.gpa) + offset_};
      if (!region_ || Gpa{part.gpa} < region_->gpa || !(Gpa{part.gpa} < region_->end()))
        region_ = map_.find(Gpa{part.gpa});
      if (!region_) {
        skip();
        return part;
      }
      part.size = std::min<std::size_t>(left, kPageSize - part.gpa % kPageSize);
      offset_ += part.size;
      return part;
    }
    return std::nullopt;
  }

 private:
  void skip() {
    ++index_;
    offset_ = 0;
  }

  std::span<Request> batch_;
  const MemoryMap& map_;
  const MemoryRegion* region_ = nullptr;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
};

// All that is unfinished fails where it stands.
template <class Request>
void fail_rest(std::span<Request> batch, Errc code) {
  for (Request& request : batch) {
    if (request.status != Errc::none || request.done == size_of(request)) continue;
    request.status = code;
    request.failed_at = request.gpa + request.done;
  }
}

template <class Request>
void fail_at(Request& request, const Part& part, Errc code) {
  request.status = code;
  request.failed_at = Gpa{part.gpa};
}

}  // namespace microvmi::pcileech_connector
