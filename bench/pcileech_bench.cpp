// SPDX-License-Identifier: Apache-2.0
// Pages of 4 KiB through LeechCore's helper process, against memcpy from the pages they share.
// LeechCore is the stand-in of the tests, or the real library that MICROVMI_TEST_LEECHCORE names.
#include <algorithm>
#include <cstring>

#include "connector/pcileech/memory.hpp"
#include "contest.hpp"
#include "support/leechcore_machine.hpp"

namespace microvmi::bench {
namespace {

using namespace pcileech_connector;

constexpr std::size_t kPages = 16384;  // read in a round
constexpr std::size_t kBatch = 512;

class Machine {
 public:
  Machine() : buffer_(kBatch * kPageSize), requests_(kBatch) {
    const PcileechParams params = file_.params();
    const auto wanted = wanted_of(params);
    if (!wanted) give_up(to_text(wanted.error()));
    const Wait wait = Wait::at_most(std::chrono::seconds(30));
    auto helper = Helper::start(wait);
    if (!helper) give_up(to_text(helper.error()));
    const auto device = open_device(**helper, params, *wanted, wait);
    if (!device) give_up(to_text(device.error()));
    shared_ = &(*helper)->shared();
    memory_ = std::make_unique<LeechMemory>(*std::move(helper), *device,
                                            Manner{.timeout = std::chrono::seconds(30)});
  }

  void read_all() {
    const std::uint64_t pages = to_integer(memory_->map()->end_of_memory()) / kPageSize;
    for (std::size_t i = 0; i < kPages; i += kBatch) {
      for (std::size_t k = 0; k < kBatch; ++k) {
        requests_[k].gpa = Gpa{(i + k) * 7 % pages * kPageSize};
        requests_[k].into = std::span(buffer_).subspan(k * kPageSize, kPageSize);
      }
      memory_->read(requests_);
      if (std::ranges::any_of(requests_, [](auto& one) { return one.status != Errc::none; }))
        give_up("a read failed");
    }
  }

  void copy_all() {
    for (std::size_t i = 0; i < kPages; ++i) {
      std::memcpy(buffer_.data() + i % kBatch * kPageSize, shared_->slots[i * 7 % kSlots].data(),
                  kPageSize);
      asm volatile("" : : "r"(buffer_.data()) : "memory");
    }
  }

 private:
  test::LeechcoreMachine file_{test::LeechcoreMachine::Kind::raw};
  Shared* shared_ = nullptr;
  std::unique_ptr<LeechMemory> memory_;
  std::vector<std::byte> buffer_;
  std::vector<ReadRequest> requests_;
};

}  // namespace
}  // namespace microvmi::bench

int main(int argc, char** argv) {
  using namespace microvmi::bench;
  const auto machine = std::make_shared<Machine>();
  add(Race{.name = "pcileech/read/4K/batch512",
           .target = 0,  // whoever fills the pages is the slower one
           .prepare = [] {},
           .ours = [machine] { machine->read_all(); },
           .limit = [machine] { machine->copy_all(); },
           .finish = [] {}});
  return run(argc, argv);
}
