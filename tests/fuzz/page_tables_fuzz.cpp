// SPDX-License-Identifier: Apache-2.0
// Any tables give a page or an error that names an entry, in as many reads as there are levels.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "microvmi/address_space.hpp"

namespace {

using namespace microvmi;

// The input's bytes from 0 on, and nothing behind them.
class Bytes final : public PhysicalMemory {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  Expected<void> refresh() override { return {}; }
  mutable unsigned reads = 0;

 protected:
  void read_batch(std::span<ReadRequest> batch) const override {
    for (ReadRequest& request : batch) {
      ++reads;
      const std::uint64_t start = to_integer(request.gpa);
      const std::uint64_t there = start < bytes_.size() ? bytes_.size() - start : 0;
      request.done = std::min<std::uint64_t>(there, request.into.size());
      if (request.done != 0) std::memcpy(request.into.data(), bytes_.data() + start, request.done);
      request.status = request.done == request.into.size() ? Errc::none : Errc::hole;
      request.failed_at = request.gpa + request.done;
    }
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::shared_ptr<const MemoryMap> map_ = std::make_shared<MemoryMap>();
};

struct Head {
  std::uint64_t cr3;
  std::uint64_t gva;
  std::uint8_t mode;
  std::uint8_t flags;
  std::uint8_t physical_bits;
};  // padded to 24 bytes

void require(bool true_) {
  if (!true_) std::abort();
}

void check_page(const AddressSpace& space, Gva gva, const Translation& found) {
  constexpr std::uint64_t kSizes[]{1ULL << 12, 1ULL << 21, 1ULL << 22, 1ULL << 30};
  require(std::ranges::find(kSizes, found.page_size) != std::end(kSizes));
  require((to_integer(found.gpa) ^ to_integer(gva)) % found.page_size == 0);
  require(to_integer(found.gpa) >> 52 == 0);
  require((space.mode == PagingMode::none) == found.levels().empty());
  for (const TableEntry& entry : found.levels()) require((entry.value & 1) != 0);
  if (!found.levels().empty() && found.writable && space.mode != PagingMode::pae)
    for (const TableEntry& entry : found.levels()) require((entry.value & 2) != 0);
}

void check_error(const Error& error) {
  require(error.code == Errc::hole || error.code == Errc::protocol ||
          error.code == Errc::invalid_argument);
  require(!error.message.empty());
  require(error.code == Errc::invalid_argument || error.message.contains("entry at 0x"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Head head{};
  if (size < sizeof(head)) return 0;
  std::memcpy(&head, data, sizeof(head));
  Bytes memory({data + sizeof(head), size - sizeof(head)});
  const AddressSpace space{.cr3 = head.cr3,
                           .mode = static_cast<PagingMode>(head.mode % 6),
                           .large_pages = (head.flags & 1) != 0,
                           .no_execute = (head.flags & 2) != 0,
                           .physical_bits = head.physical_bits};
  const auto found = translate(memory, space, Gva{head.gva});
  require(memory.reads <= 5);
  if (found)
    check_page(space, Gva{head.gva}, *found);
  else
    check_error(found.error());

  VirtualMemory kept(memory, space);
  for (int round = 0; round < 2; ++round) {
    const auto mapping = kept.translate(Gva{head.gva});
    require(mapping.has_value() == found.has_value());
    if (mapping) require(mapping->gpa == found->gpa && mapping->page_size == found->page_size);
  }
  std::array<std::byte, 9000> buffer{};
  if (const auto read = kept.read(Gva{head.gva}, buffer); !read) {
    const auto* place = std::get_if<Gva>(&read.error().where);
    require(place && to_integer(*place) - head.gva < buffer.size());
  }
  return 0;
}
