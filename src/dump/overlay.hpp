// SPDX-License-Identifier: Apache-2.0
// Overlay: a guest whose memory is read where it was written, and from an image of it elsewhere.
#pragma once

#include <vector>

#include "microvmi/vm.hpp"

namespace microvmi::dumper {

class OverlayMemory final : public PhysicalMemory {
 public:
  // `written` is sorted and apart. What the image does not have is read from the guest.
  OverlayMemory(const PhysicalMemory& guest, const PhysicalMemory& image,
                std::vector<PageRange> written)
      : guest_(guest), image_(image), written_(std::move(written)) {}

  std::shared_ptr<const MemoryMap> map() const override { return guest_.map(); }
  Expected<void> refresh() override;
  bool viewable() const override { return guest_.viewable() || image_.viewable(); }
  View view(Gpa gpa, std::size_t size) const override;

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;

 private:
  struct Part {
    std::uint64_t size;
    bool written;
  };
  // The front of a range that is all written or all not.
  [[nodiscard]] Part front_of(Gpa gpa, std::uint64_t size) const;
  void read_one(ReadRequest& request) const;

  const PhysicalMemory& guest_;
  const PhysicalMemory& image_;
  std::vector<PageRange> written_;
};

// What a dump asks for, with this memory in place of the guest's.
class OverlayGuest final : public Driver {
 public:
  OverlayGuest(Vm& guest, const PhysicalMemory& image, std::vector<PageRange> written)
      : guest_(guest), memory_(guest.memory(), image, std::move(written)) {}

  OverlayMemory& memory() override { return memory_; }
  GuestInfo info() const override { return guest_.info(); }
  RegisterAccess* registers() override { return guest_.driver().registers(); }

 private:
  Vm& guest_;
  OverlayMemory memory_;
};

}  // namespace microvmi::dumper
