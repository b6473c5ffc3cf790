// SPDX-License-Identifier: Apache-2.0
// KvmMemory: guest memory through KVMi, one command for each page, many of them on their way.
#pragma once

#include <mutex>

#include "driver/kvm/connection.hpp"
#include "driver/kvm/patches.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::kvm {

class KvmMemory final : public PhysicalMemory {
 public:
  // `end` is what the handshake told, for the dialects whose kernel cannot be asked.
  KvmMemory(Connection& connection, Patches& patches, Gpa end,
            std::chrono::milliseconds answer_time)
      : connection_(connection),
        patches_(patches),
        handshake_end_(end),
        answer_time_(answer_time) {}

  [[nodiscard]] std::shared_ptr<const MemoryMap> map() const override;
  [[nodiscard]] Expected<void> refresh() override;
  [[nodiscard]] bool writable() const override { return true; }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  [[nodiscard]] Expected<Gpa> ask_end() const;

  Connection& connection_;
  Patches& patches_;  // breakpoints are not seen, and stay where they are
  Gpa handshake_end_;
  std::chrono::milliseconds answer_time_;
  mutable std::mutex mutex_{};
  std::shared_ptr<const MemoryMap> map_ = std::make_shared<MemoryMap>();
};

}  // namespace microvmi::kvm
