// SPDX-License-Identifier: Apache-2.0
// Opening and comparing.
#include "guest/live.hpp"

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <random>
#include <sstream>

namespace microvmi::test {
namespace {

using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

std::string hex(Gpa gpa) {
  std::ostringstream out;
  out << "0x" << std::hex << to_integer(gpa);
  return out.str();
}

// Where firmware decides what is RAM and what is ROM; nothing but the monitor knows.
constexpr Gpa kShadow{0xC0000};
constexpr Gpa kShadowEnd{0x100000};

std::vector<MemoryRegion> ram_of(const MemoryMap& map) {
  std::vector<MemoryRegion> joined;
  for (const MemoryRegion& region : map.regions) {
    if (region.kind != MemoryRegion::Kind::ram) continue;
    if (!joined.empty() && joined.back().end() == region.gpa)
      joined.back().size += region.size;
    else
      joined.push_back(region);
  }
  return joined;
}

std::vector<MemoryRegion> without_shadow(const std::vector<MemoryRegion>& regions) {
  std::vector<MemoryRegion> rest;
  for (const MemoryRegion& region : regions) {
    if (region.gpa < kShadow) {
      const Gpa end = std::min(region.end(), kShadow);
      rest.push_back({.gpa = region.gpa, .size = end - region.gpa});
    }
    if (region.end() > kShadowEnd) {
      const Gpa start = std::max(region.gpa, kShadowEnd);
      rest.push_back({.gpa = start, .size = region.end() - start});
    }
  }
  return rest;
}

std::expected<Vm, InitError> open_by(QemuProcfsParams params) {
  return init(DriverType::memflow,
              DriverInitParams{.memflow = MemflowInitParams{.args = std::move(params)}});
}

}  // namespace

std::expected<Vm, InitError> open_pid(pid_t pid) {
  return open_by({.pid = *Pid::of(static_cast<std::uint32_t>(pid))});
}

std::expected<Vm, InitError> open_name(const std::string& name) {
  return open_by({.vm_name = name});
}

bool can(const Vm& vm, Capability wanted) {
  return std::ranges::count(vm.capabilities(), wanted) != 0;
}

AssertionResult same_as_qemu(QemuGuest& qemu, const Vm& vm, Gpa gpa, std::uint64_t size) {
  constexpr std::uint64_t kPiece = 32 * kMiB;
  std::vector<std::byte> ours;
  for (std::uint64_t done = 0; done < size; done += ours.size()) {
    ours.assign(std::min(kPiece, size - done), std::byte{0xDB});
    if (const auto read = vm.memory().read(gpa + done, ours); !read)
      return AssertionFailure() << to_text(read.error());
    const auto real = qemu.memory(to_integer(gpa) + done, ours.size());
    if (!real) return AssertionFailure() << real.error();
    if (std::memcmp(ours.data(), real->data(), ours.size()) == 0) continue;
    const auto [mine, other] = std::ranges::mismatch(ours, *real);
    if (mine != ours.end())
      return AssertionFailure() << "other bytes at "
                                << hex(gpa + done +
                                       static_cast<std::uint64_t>(mine - ours.begin()));
  }
  return AssertionSuccess();
}

AssertionResult samples_same_as_qemu(QemuGuest& qemu, const Vm& vm, const MemoryRegion& region) {
  if (region.size <= 4 * kMiB) return same_as_qemu(qemu, vm, region.gpa, region.size);
  std::mt19937_64 random(to_integer(region.gpa) + 1);
  constexpr std::uint64_t kPiece = 64 * 1024;
  auto result = same_as_qemu(qemu, vm, region.gpa, kMiB);
  if (result) result = same_as_qemu(qemu, vm, region.gpa + (region.size - kMiB), kMiB);
  for (int i = 0; i < 16 && result; ++i)
    result = same_as_qemu(qemu, vm, region.gpa + random() % (region.size - kPiece), kPiece);
  return result;
}

AssertionResult stamps_are_read(TinyGuest& guest, const Vm& vm, const TinyStamped& range) {
  const auto pages = guest.stamped_pages(range);
  if (pages.size() != range.pages)
    return AssertionFailure() << pages.size() << " pages, the guest stamped " << range.pages;
  TinySum sum;
  constexpr std::size_t kBatch = 512;
  std::vector<Page> into(kBatch);
  for (std::size_t first = 0; first < pages.size(); first += kBatch) {
    std::vector<ReadRequest> batch;
    for (std::size_t i = first; i < std::min(pages.size(), first + kBatch); ++i)
      batch.push_back({.gpa = Gpa{pages[i]}, .into = into[i - first]});
    vm.memory().read(batch);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch[i].status != Errc::none)
        return AssertionFailure() << hex(batch[i].gpa) << ": " << name_of(batch[i].status);
      if (into[i] != guest.page_at(to_integer(batch[i].gpa)))
        return AssertionFailure() << hex(batch[i].gpa) << " is not that page";
      sum.add(into[i].data(), into[i].size());
    }
  }
  if (sum.value() != range.sum) return AssertionFailure() << "the guest has another sum";
  return AssertionSuccess();
}

AssertionResult all_stamps_are_read(TinyGuest& guest, const Vm& vm) {
  if (guest.truth().stamped.size() < 2) return AssertionFailure() << "the guest stamped nothing";
  auto result = AssertionSuccess();
  for (const TinyStamped& range : guest.truth().stamped)
    if (result) result = stamps_are_read(guest, vm, range);
  return result;
}

AssertionResult map_is_that_of_qemu(QemuGuest& qemu, const Vm& vm, Shadow shadow) {
  auto real = qemu.ram();
  if (real.empty()) return AssertionFailure() << "QEMU told of no RAM";
  auto ours = ram_of(*vm.memory().map());
  if (shadow == Shadow::unknown) {
    for (const MemoryRegion& region : ours)
      if (region.gpa >= kShadow && region.gpa < kShadowEnd)
        return AssertionFailure() << "guessed RAM at " << hex(region.gpa);
    real = without_shadow(real);
    ours = without_shadow(ours);
  }
  if (ours == real) return AssertionSuccess();
  auto failure = AssertionFailure();
  for (const auto& [who, regions] : {std::pair("ours", ours), std::pair("QEMU", real)})
    for (const MemoryRegion& region : regions)
      failure << "\n  " << who << ": " << hex(region.gpa) << " to " << hex(region.end());
  return failure;
}

}  // namespace microvmi::test
