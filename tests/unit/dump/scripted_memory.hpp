// SPDX-License-Identifier: Apache-2.0
// ScriptedGuest: memory whose every byte is known, and that fails when and where a test says so.
#pragma once

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "microvmi/vm.hpp"

namespace microvmi::test {

struct Script {
  MemoryMap map{};
  std::set<std::uint64_t> gone{};       // pages that are holes when their turn comes
  std::set<std::uint64_t> zero{};       // pages of zeros
  std::map<std::uint64_t, Errc> bad{};  // pages that fail otherwise
  bool views = false;
  std::vector<Fact> facts{};
  std::atomic<bool> is_dead = false;       // every read fails: disconnected
  std::atomic<int> asked = 0;              // how often, for what is touched
  std::function<void(Gpa)> before_read{};  // from any thread
};

// The byte at each address; no two pages are equal and none is zero.
inline std::byte truth(std::uint64_t at) {
  const std::uint64_t mixed = (at / 8 + 1) * 0x9E3779B97F4A7C15ULL;
  return static_cast<std::byte>(mixed >> (8 * (at % 8))) | std::byte{1};
}

inline std::vector<std::byte> truth(const Script& script, std::uint64_t at, std::uint64_t size) {
  std::vector<std::byte> out(size);
  std::uint64_t page = ~0ULL;
  bool is_zero = false;
  for (std::uint64_t i = 0; i < size; ++i) {
    if ((at + i) / kPageSize != page) {
      page = (at + i) / kPageSize;
      is_zero = script.zero.contains(page * kPageSize);
    }
    if (!is_zero) out[i] = truth(at + i);
  }
  return out;
}

class ScriptedMemory final : public PhysicalMemory {
 public:
  explicit ScriptedMemory(std::shared_ptr<Script> script) : script_(std::move(script)) {}

  std::shared_ptr<const MemoryMap> map() const override {
    return std::make_shared<MemoryMap>(script_->map);
  }
  Expected<void> refresh() override { return {}; }
  Touched touched(Gpa, std::uint64_t size) const override {
    ++script_->asked;
    return {0, size};
  }
  bool viewable() const override { return script_->views; }
  View view(Gpa gpa, std::size_t size) const override {
    const MemoryRegion* region = script_->map.find(gpa);
    if (!script_->views || !region || size > region->end() - gpa) return {};
    const auto bytes =
        std::make_shared<std::vector<std::byte>>(truth(*script_, to_integer(gpa), size));
    return {bytes, *bytes};
  }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override {
    for (ReadRequest& request : batch) {
      if (script_->before_read) script_->before_read(request.gpa);
      while (request.done != request.into.size() && request.status == Errc::none) page(request);
    }
  }

 private:
  void page(ReadRequest& request) const {
    const std::uint64_t at = to_integer(request.gpa) + request.done;
    const std::uint64_t start = at / kPageSize * kPageSize;
    const bool is_hole = !script_->map.find(Gpa{at}) || script_->gone.contains(start);
    const auto bad = script_->bad.find(start);
    request.failed_at = Gpa{at};
    if (is_hole) request.status = Errc::hole;
    if (bad != script_->bad.end()) request.status = bad->second;
    if (script_->is_dead) request.status = Errc::disconnected;
    if (request.status != Errc::none) return;
    const std::uint64_t size =
        std::min<std::uint64_t>(request.into.size() - request.done, kPageSize - at % kPageSize);
    const auto bytes = truth(*script_, at, size);
    std::memcpy(request.into.data() + request.done, bytes.data(), size);
    request.done += size;
  }

  std::shared_ptr<Script> script_;
};

class ScriptedGuest final : public Driver {
 public:
  explicit ScriptedGuest(const std::shared_ptr<Script>& script)
      : facts_(script->facts), memory_(script) {}
  PhysicalMemory& memory() override { return memory_; }
  GuestInfo info() const override {
    return {.vm_name = "a \"name\"\n", .pid = 42, .connector = "scripted", .facts = facts_};
  }

 private:
  std::vector<Fact> facts_;
  ScriptedMemory memory_;
};

inline Vm scripted_vm(std::shared_ptr<Script> script) {
  return {DriverType::memflow, std::make_unique<ScriptedGuest>(std::move(script))};
}

inline std::vector<std::byte> content_of(const std::filesystem::path& file) {
  std::vector<std::byte> bytes(std::filesystem::file_size(file));
  std::ifstream in(file, std::ios::binary);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

}  // namespace microvmi::test
