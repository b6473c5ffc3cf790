// SPDX-License-Identifier: Apache-2.0
// The machine of tests/support/kvm_vmm, read through the kernel's memory slots.
#include <unistd.h>

#include "contract/subjects.hpp"
#include "support/kvm_guest.hpp"

namespace microvmi::contract {
namespace {

using test::KvmGuest;

class SlotsSubject final : public Subject {
 public:
  explicit SlotsSubject(std::unique_ptr<KvmGuest> guest, bool shared_memory)
      : guest_(std::move(guest)), pid_(guest_->pid()), shared_memory_(shared_memory) {}

  std::expected<Vm, InitError> open() override {
    return init(
        DriverType::memflow,
        {.memflow = MemflowInitParams{
             .args = KvmConnectorParams{.pid = *Pid::of(pid_), .intrusive = Intrusive::none}}});
  }

  std::vector<MemoryRegion> ram() override {
    auto map = guest_->memory_map();
    if (!map) return {};
    std::erase_if(*map,
                  [](const MemoryRegion& one) { return one.kind != MemoryRegion::Kind::ram; });
    return *std::move(map);
  }

  std::vector<MemoryRegion> still() override {
    auto regions = ram();
    const std::uint64_t first = guest_->truth()["still"];
    for (MemoryRegion& one : regions) {
      if (one.gpa != Gpa{0}) continue;
      one.gpa = Gpa{first};
      one.size -= first;
    }
    return regions;
  }

  Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) override {
    return guest_->memory(to_integer(gpa), size);
  }

  GuestInfo info() override { return {.pid = pid_, .vcpus = 2, .connector = "kvm"}; }

  std::vector<Capability> must_have() override {
    std::vector needed{Capability::memory_write};
    if (shared_memory_) needed.push_back(Capability::memory_view);
    return needed;
  }

  std::optional<Errc> die() override {
    guest_->kill();
    return Errc::disconnected;
  }

 private:
  std::unique_ptr<KvmGuest> guest_;
  std::uint32_t pid_;  // also that of the dead guest
  bool shared_memory_;
};

std::string why_no_slots() {
  if (std::string none = test::why_no_kvm(); !none.empty()) return none;
  return ::geteuid() == 0 ? "" : "only root may load the BPF program";
}

template <bool shared_memory>
Outcome<std::unique_ptr<Subject>> make() {
  auto guest = KvmGuest::start({shared_memory ? "backing=memfd" : "backing=anonymous"});
  if (!guest) return std::unexpected(guest.error());
  return std::make_unique<SlotsSubject>(*std::move(guest), shared_memory);
}

}  // namespace

std::vector<SubjectKind> kvm_slots_subjects() {
  if (!MICROVMI_HAS_BPF || !connectors()[static_cast<std::size_t>(Connector::kvm)].open) return {};
  return {{"live_kvm_slots_anonymous", why_no_slots, make<false>},
          {"live_kvm_slots_memfd", why_no_slots, make<true>}};
}

}  // namespace microvmi::contract
