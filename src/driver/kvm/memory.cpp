// SPDX-License-Identifier: Apache-2.0
// Batches cut at page boundaries, and the answers put back together.
#include "driver/kvm/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <type_traits>

namespace microvmi::kvm {
namespace {

// Pages of one run(): enough that its begin and end do not count, few enough to hold.
constexpr std::size_t kMostPages = 1024;

// x86 has 52 bits of physical address at most (Intel SDM vol. 3A 4.1.4).
constexpr std::uint64_t kMostGfn = 1ULL << 40;

std::span<std::byte> bytes_of(const ReadRequest& request) { return request.into; }
ByteSpan bytes_of(const WriteRequest& request) { return request.from; }

Request page_request(const ReadRequest&, Gpa gpa, std::span<std::byte> bytes) {
  Request out(Command::read_physical, {{Field::gpa, to_integer(gpa)}, {Field::size, bytes.size()}});
  out.into = bytes;
  return out;
}

Request page_request(const WriteRequest&, Gpa gpa, ByteSpan bytes) {
  Request out(Command::write_physical,
              {{Field::gpa, to_integer(gpa)}, {Field::size, bytes.size()}});
  out.tail = bytes;
  return out;
}

Errc status_of(std::int32_t code) { return code == -ENOENT ? Errc::hole : error_of(code, "").code; }

// The pages of a batch, in order. A request that failed is not gone on with.
template <class AnyRequest>
class Pages {
  static constexpr bool kWrites = std::is_same_v<AnyRequest, WriteRequest>;

 public:
  Pages(Connection& connection, Patches& patches, std::span<AnyRequest> batch)
      : connection_(connection), patches_(patches), batch_(batch) {}

  void transfer(std::chrono::milliseconds answer_time) {
    while (gather()) {
      const auto done = connection_.run(requests_, Wait::at_most(answer_time));
      for (std::size_t i = 0; i < requests_.size(); ++i)
        settle(*owners_[i], requests_[i], done ? Errc::none : done.error().code);
      if (!done) give_up(done.error().code);
    }
  }

 private:
  // The next pages; false where there are none.
  bool gather() {
    requests_.clear();
    owners_.clear();
    kept_.clear();
    while (at_ < batch_.size() && requests_.size() < kMostPages) {
      AnyRequest& owner = batch_[at_];
      const auto bytes = bytes_of(owner);
      if (owner.status != Errc::none || offset_ == bytes.size()) {
        ++at_;
        offset_ = 0;
        continue;
      }
      const Gpa gpa = owner.gpa + offset_;
      const auto size = std::min(bytes.size() - offset_, kPageSize - page_offset(gpa));
      requests_.push_back(page_request(owner, gpa, bytes.subspan(offset_, size)));
      if constexpr (kWrites) keep_breakpoints(gpa, requests_.back());
      owners_.push_back(&owner);
      offset_ += size;
    }
    return !requests_.empty();
  }

  // Whoever does not answer is not asked again for each of the rest.
  void give_up(Errc failure) {
    for (AnyRequest& owner : batch_) {
      if (owner.status != Errc::none || owner.done == bytes_of(owner).size()) continue;
      owner.status = failure;
      owner.failed_at = owner.gpa + owner.done;
    }
  }

  void keep_breakpoints(Gpa gpa, Request& page) {
    auto kept = patches_.keep(gpa, page.tail);
    if (!kept) return;
    kept_.push_back(*std::move(kept));
    page.tail = kept_.back();
  }

  void settle(AnyRequest& owner, const Request& page, Errc failure) {
    if (owner.status != Errc::none) return;
    if (!page.answered)
      owner.status = failure;
    else if (page.code != 0)
      owner.status = status_of(page.code);
    else
      owner.done += page.values[1].value;
    if constexpr (!kWrites)
      if (owner.status == Errc::none) patches_.hide(Gpa{page.values[0].value}, page.into);
    if (owner.status != Errc::none) owner.failed_at = owner.gpa + owner.done;
  }

  Connection& connection_;
  Patches& patches_;
  std::span<AnyRequest> batch_;
  std::size_t at_ = 0;
  std::size_t offset_ = 0;
  std::vector<Request> requests_{};
  std::vector<AnyRequest*> owners_{};
  std::deque<Bytes> kept_{};  // what is written instead of what was given
};

}  // namespace

std::shared_ptr<const MemoryMap> KvmMemory::map() const {
  const std::lock_guard lock(mutex_);
  return map_;
}

Expected<Gpa> KvmMemory::ask_end() const {
  const CommandRow& ask = row(connection_.dialect(), Command::get_max_gfn);
  if (!ask.known) {
    if (to_integer(handshake_end_) != 0) return handshake_end_;
    return fail(Errc::protocol, "QEMU's handshake does not tell how much memory the guest has");
  }
  const auto data = connection_.call(Request(Command::get_max_gfn), Wait::at_most(answer_time_));
  if (!data) return std::unexpected(data.error());
  const std::uint64_t gfn = field_of(ask.answer, *data, Field::gfn);
  if (gfn == 0 || gfn > kMostGfn)
    return fail(Errc::protocol, fmt::format("KVMi: a guest with {:#x} page frames", gfn));
  return Gpa{gfn * kPageSize};
}

Expected<void> KvmMemory::refresh() {
  const auto end = ask_end();
  if (!end) return std::unexpected(end.error());
  const std::uint64_t size = to_integer(*end) / kPageSize * kPageSize;
  if (size == 0 || size / kPageSize > kMostGfn)
    return fail(Errc::protocol, fmt::format("KVMi: a guest whose memory ends at {:#x}", size));
  const std::lock_guard lock(mutex_);
  // KVMi tells no holes, only where the last memory ends.
  map_ = std::make_shared<const MemoryMap>(MemoryMap{.regions = {{.gpa = Gpa{}, .size = size}},
                                                     .exact = false,
                                                     .generation = map_->generation + 1});
  return {};
}

void KvmMemory::read_batch(std::span<ReadRequest> batch) const {
  Pages(connection_, patches_, batch).transfer(answer_time_);
}

void KvmMemory::write_batch(std::span<WriteRequest> batch) {
  Pages(connection_, patches_, batch).transfer(answer_time_);
}

}  // namespace microvmi::kvm
