// SPDX-License-Identifier: Apache-2.0
// Files that LeechCore opens: the tests' stand-in, or the real library where one is named.
#include "contract/subjects.hpp"
#include "support/leechcore_machine.hpp"

namespace microvmi::contract {
namespace {

using test::LeechcoreMachine;
using Kind = LeechcoreMachine::Kind;

class PcileechSubject final : public Subject {
 public:
  explicit PcileechSubject(Kind kind) : machine_(kind) {}

  std::expected<Vm, InitError> open() override {
    // LeechCore itself keeps what it writes to a file to itself for a while.
    const bool writes = writable();
    return init(DriverType::memflow,
                DriverInitParams{.memflow = MemflowInitParams{
                                     .args = machine_.params(writes ? "write=1" : "")}});
  }

  std::vector<MemoryRegion> ram() override { return machine_.ram(); }
  std::vector<MemoryRegion> still() override { return machine_.filled(); }
  Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) override {
    return machine_.truth(gpa, size);
  }

  GuestInfo info() override { return {.connector = "pcileech"}; }
  std::vector<Capability> must_have() override {
    return writable() ? std::vector{Capability::memory_write} : std::vector<Capability>{};
  }

  std::optional<Errc> die() override {
    machine_.cut_off(0);
    return Errc::io;
  }

 private:
  [[nodiscard]] static bool writable() { return !test::leechcore_is_real(); }

  LeechcoreMachine machine_;
};

template <Kind kind>
Outcome<std::unique_ptr<Subject>> make() {
  return std::make_unique<PcileechSubject>(kind);
}

}  // namespace

std::vector<SubjectKind> pcileech_subjects() {
  if (!connectors()[static_cast<std::size_t>(Connector::pcileech)].open) return {};
  if (test::leechcore_is_real())
    return {{"pcileech_leechcore_raw", always, make<Kind::raw>},
            {"pcileech_leechcore_elf", always, make<Kind::elf>},
            {"pcileech_leechcore_live", always, make<Kind::live>}};
  return {{"pcileech_simulated_raw", always, make<Kind::raw>},
          {"pcileech_simulated_elf", always, make<Kind::elf>},
          {"pcileech_simulated_live", always, make<Kind::live>}};
}

}  // namespace microvmi::contract
