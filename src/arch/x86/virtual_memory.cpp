// SPDX-License-Identifier: Apache-2.0
// Kept translations, and transfers that are cut into pages.
#include <algorithm>

#include "microvmi/address_space.hpp"

namespace microvmi {
namespace {

constexpr std::size_t kSlots = 1024;  // 48 KiB; a power of two
constexpr std::size_t kBatch = 64;    // requests for the memory below at a time

// What was translated and is yet to be transferred.
template <class Request, class Bytes>
class Batch {
 public:
  Batch(PhysicalMemory& memory, Gva start) : memory_(memory), start_(start) {}

  Expected<void> add(Gpa gpa, Bytes bytes) {
    if (count_ == kBatch)
      if (auto done = flush(); !done) return done;
    requests_[count_] = Request{};
    requests_[count_].gpa = gpa;
    set(requests_[count_], bytes);
    ++count_;
    return {};
  }

  Expected<void> flush() {
    const auto batch = std::span(requests_).first(count_);
    count_ = 0;
    run(batch);
    for (const Request& request : batch) {
      done_ += request.done;
      if (request.status != Errc::none)
        return fail(request.status,
                    request.status == Errc::hole ? "it is mapped to where there is no memory"
                                                 : "its page could not be transferred",
                    start_ + done_);
    }
    return {};
  }

 private:
  static void set(ReadRequest& request, std::span<std::byte> bytes) { request.into = bytes; }
  static void set(WriteRequest& request, std::span<const std::byte> bytes) { request.from = bytes; }
  void run(std::span<ReadRequest> batch) { memory_.read(batch); }
  void run(std::span<WriteRequest> batch) { memory_.write(batch); }

  PhysicalMemory& memory_;
  Gva start_;
  std::array<Request, kBatch> requests_{};
  std::size_t count_ = 0;
  std::uint64_t done_ = 0;
};

std::unexpected<Error> at(const Error& error, const char* verb) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (std::uint64_t rest = to_integer(std::get<Gva>(error.where)); rest != 0 || hex.empty();
       rest /= 16)
    hex.insert(hex.begin(), kDigits[rest % 16]);
  return fail(error.code, std::string(verb) + " virtual 0x" + hex + ": " + error.message,
              error.where, error.hint);
}

}  // namespace

VirtualMemory::VirtualMemory(PhysicalMemory& memory, const AddressSpace& space)
    : memory_(&memory), space_(space), slots_(kSlots) {}

void VirtualMemory::forget() { std::ranges::fill(slots_, Slot{}); }

Expected<Mapping> VirtualMemory::translate(Gva gva) {
  const std::uint64_t page = to_integer(gva) / kPageSize;
  const std::uint64_t offset = to_integer(gva) % kPageSize;
  Slot& slot = slots_[page % kSlots];
  if (slot.page != page + 1) [[unlikely]] {
    auto found = microvmi::translate(*memory_, space_, gva);
    if (!found) return std::unexpected(std::move(found.error()));
    slot.page = page + 1;
    slot.mapping = static_cast<const Mapping&>(*found);
    slot.mapping.gpa = Gpa{to_integer(found->gpa) - offset};
  }
  Expected<Mapping> out(slot.mapping);
  out->gpa = out->gpa + offset;
  return out;
}

template <class Request, class Bytes>
Expected<void> VirtualMemory::transfer(Gva gva, Bytes bytes) {
  if (!bytes.empty() && bytes.size() - 1 > ~to_integer(gva))
    return fail(Errc::invalid_argument, "the range runs past the last address", gva);
  Batch<Request, Bytes> batch(*memory_, gva);
  for (std::size_t done = 0; done != bytes.size();) {
    const Gva here = gva + done;
    const auto mapping = translate(here);
    if (!mapping) {
      if (auto before = batch.flush(); !before) return before;
      Error error = mapping.error();
      error.where = here;  // also where it was a table that could not be read
      return std::unexpected(std::move(error));
    }
    const std::size_t size =
        std::min<std::size_t>(bytes.size() - done, kPageSize - to_integer(here) % kPageSize);
    if (auto added = batch.add(mapping->gpa, bytes.subspan(done, size)); !added) return added;
    done += size;
  }
  return batch.flush();
}

Expected<void> VirtualMemory::read(Gva gva, std::span<std::byte> buffer) {
  auto done = transfer<ReadRequest>(gva, buffer);
  return done ? std::move(done) : at(done.error(), "read at");
}

Expected<void> VirtualMemory::write(Gva gva, std::span<const std::byte> bytes) {
  auto done = transfer<WriteRequest>(gva, bytes);
  return done ? std::move(done) : at(done.error(), "write at");
}

}  // namespace microvmi
