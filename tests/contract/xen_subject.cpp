// SPDX-License-Identifier: Apache-2.0
// The tiny guest of a real Xen, in the dom0 of tests/xen: one of the tests' own that may be
// destroyed (PVH), and the HVM guest that is there anyway.
#include <cstdlib>
#include <numeric>

#include "contract/subjects.hpp"
#include "xen/domain.hpp"

namespace microvmi::contract {
namespace {

using test::xen::Domain;

// Where a guest of 32 MiB can have frames: its RAM, and below 4 GiB what Xen's tools put there.
constexpr std::array<std::pair<std::uint64_t, std::uint64_t>, 2> kPlaces{
    {{0, 0x2800}, {0xf0000, 0x100000}}};
constexpr std::size_t kAtOnce = 512;

void add_frame(std::vector<MemoryRegion>& regions, std::uint64_t frame) {
  const Gpa gpa{frame * kPageSize};
  if (!regions.empty() && regions.back().end() == gpa)
    regions.back().size += kPageSize;
  else
    regions.push_back({.gpa = gpa, .size = kPageSize});
}

std::vector<MemoryRegion> ram_of(const Domain& domain) {
  std::vector<MemoryRegion> found;
  for (const auto& [start, end] : kPlaces)
    for (std::uint64_t first = start; first < end; first += kAtOnce) {
      std::vector<std::uint64_t> frames(kAtOnce);
      std::iota(frames.begin(), frames.end(), first);
      const auto holes = domain.bare().holes(frames);
      for (std::size_t i = 0; i < kAtOnce; ++i)
        if (!holes[i]) add_frame(found, frames[i]);
    }
  return found;
}

struct Known {
  Domain domain;
  std::vector<MemoryRegion> ram;
};

class XenSubject final : public Subject {
 public:
  XenSubject(std::shared_ptr<Known> known, bool own) : known_(std::move(known)), own_(own) {}

  std::expected<Vm, InitError> open() override {
    return init(DriverType::xen, {.xen = XenInitParams{.domid = domain().id()}});
  }
  std::vector<MemoryRegion> ram() override { return known_->ram; }
  std::vector<MemoryRegion> still() override {
    const std::uint64_t start = domain().said("stamp_start");
    return {{.gpa = Gpa{start}, .size = domain().said("stamp_end") - start}};
  }

  // The stamps need nobody; a test may have written over them, so Xen's library is asked.
  Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) override {
    return domain().bare().read(to_integer(gpa), size);
  }
  GuestInfo info() override { return {.vm_name = domain().name(), .vcpus = 1}; }
  std::optional<bool> running() override { return !domain().paused(); }
  std::vector<Capability> must_have() override {
    return {Capability::memory_write, Capability::run_control, Capability::registers,
            Capability::events};
  }
  std::vector<std::pair<Reg, std::uint64_t>> registers() override {
    std::vector<std::pair<Reg, std::uint64_t>> known;
    for (const RegisterInfo& info : kRegisters)
      if (const auto said = domain().said().find(info.name); said != domain().said().end())
        known.emplace_back(info.reg, said->second);
    return known;
  }
  std::optional<Errc> die() override;

 private:
  [[nodiscard]] Domain& domain() { return known_->domain; }

  std::shared_ptr<Known> known_;
  bool own_;
};

// One for all tests of this program, until one of them has destroyed it.
std::shared_ptr<Known>& ours() {
  static std::shared_ptr<Known> known;
  return known;
}

std::optional<Errc> XenSubject::die() {
  if (!own_) return std::nullopt;
  domain().destroy();
  ours().reset();
  return Errc::disconnected;
}

Outcome<std::shared_ptr<Known>> learn(Outcome<Domain> domain) {
  if (!domain) return std::unexpected(domain.error());
  auto ram = ram_of(*domain);
  return std::make_shared<Known>(*std::move(domain), std::move(ram));
}

Outcome<std::unique_ptr<Subject>> make_pvh() {
  if (!ours()) {
    auto known = learn(Domain::create("contract"));
    if (!known) return std::unexpected(known.error());
    ours() = *std::move(known);
  }
  return std::make_unique<XenSubject>(ours(), true);
}

Outcome<std::unique_ptr<Subject>> make_hvm() {
  static const auto known = learn(Domain::find(test::xen::kHvm));
  if (!known) return std::unexpected(known.error());
  return std::make_unique<XenSubject>(*known, false);
}

std::string why_no_hvm() { return test::xen::why_no(test::xen::kHvm); }
std::string none() { return ""; }

}  // namespace

std::vector<SubjectKind> xen_subjects() {
  if (std::getenv("MICROVMI_XEN_GUESTS") == nullptr) return {};
  return {{"live_xen_pvh", none, make_pvh}, {"live_xen_hvm", why_no_hvm, make_hvm}};
}

}  // namespace microvmi::contract
