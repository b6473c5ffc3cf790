// SPDX-License-Identifier: Apache-2.0
// The fake guest: shows that the suite itself can be passed, and how a subject is written.
#include "contract/subjects.hpp"
#include "support/fake_guest.hpp"

namespace microvmi::contract {
namespace {

constexpr std::size_t kPages = 16;

std::vector<std::byte> pattern(std::uint64_t first) {
  std::vector<std::byte> bytes(kPages * kPageSize);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>((first + i) * 31 >> 3);
  return bytes;
}

class FakeSubject final : public Subject {
 public:
  std::expected<Vm, InitError> open() override {
    if (!state_->alive)
      return std::unexpected(InitError{{.code = Errc::not_found, .message = "it is gone"}});
    auto guest = std::make_unique<test::FakeGuest>(state_);
    guest->memory().clear();
    state_->vcpus[VcpuId{0}].set(Reg::rip, 0x10);
    state_->vcpus[VcpuId{0}].set(Reg::r14, 14);
    guest->memory().add(Gpa{0}, pattern(0));
    guest->memory().add(Gpa{kPages * kPageSize}, pattern(kPages));
    guest->memory().add(Gpa{kHigh}, pattern(kHigh));
    return Vm(DriverType::qemu, std::move(guest));
  }

  std::vector<MemoryRegion> ram() override {
    return {{.gpa = Gpa{0}, .size = 2 * kPages * kPageSize},
            {.gpa = Gpa{kHigh}, .size = kPages * kPageSize}};
  }
  std::vector<MemoryRegion> still() override { return ram(); }

  Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) override {
    std::vector<std::byte> out;
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint64_t at = to_integer(gpa) + i;
      const std::uint64_t start = at - at % (kPages * kPageSize);
      const std::uint64_t first = start == 0 || start == kHigh ? start : kPages;
      out.push_back(static_cast<std::byte>((first + at - start) * 31 >> 3));
    }
    return out;
  }

  GuestInfo info() override { return {.vm_name = "fake", .vcpus = 1}; }
  std::optional<bool> running() override { return state_->running; }
  std::vector<Capability> must_have() override {
    return {Capability::memory_write, Capability::memory_view, Capability::run_control,
            Capability::registers,    Capability::events,      Capability::injection,
            Capability::page_access,  Capability::dirty_pages, Capability::xsave};
  }
  std::vector<std::pair<Reg, std::uint64_t>> registers() override {
    state_->vcpus[VcpuId{0}].set(Reg::cr3, 0x1000);
    return {{Reg::cr3, 0x1000}};
  }
  std::optional<Errc> die() override {
    state_->alive = false;
    return Errc::disconnected;
  }

 private:
  std::shared_ptr<test::FakeState> state_ = std::make_shared<test::FakeState>();
};

Outcome<std::unique_ptr<Subject>> make() { return std::make_unique<FakeSubject>(); }

}  // namespace

std::vector<SubjectKind> fake_subjects() { return {{"fake_guest", always, make}}; }

}  // namespace microvmi::contract
