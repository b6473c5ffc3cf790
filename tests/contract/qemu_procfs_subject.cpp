// SPDX-License-Identifier: Apache-2.0
// The tiny guest in a live QEMU, with RAM on both sides of 4 GiB and every page stamped.
#include "contract/subjects.hpp"
#include "support/tiny_guest.hpp"

namespace microvmi::contract {
namespace {

using test::RamBackend;
using test::TinyGuest;

class QemuSubject final : public Subject {
 public:
  QemuSubject(std::unique_ptr<TinyGuest> guest, RamBackend backend, DriverType driver)
      : guest_(std::move(guest)),
        pid_(static_cast<std::uint32_t>(guest_->qemu().pid())),
        backend_(backend),
        driver_(driver) {}

  std::expected<Vm, InitError> open() override {
    if (driver_ == DriverType::qemu)
      return init(driver_, DriverInitParams{.qemu = QemuInitParams{.pid = *Pid::of(pid_)}});
    return init(DriverType::memflow,
                DriverInitParams{
                    .memflow = MemflowInitParams{.args = QemuProcfsParams{.pid = *Pid::of(pid_)}}});
  }

  std::vector<MemoryRegion> ram() override { return guest_->qemu().ram(); }

  std::vector<MemoryRegion> still() override {
    std::vector<MemoryRegion> regions;
    const auto image = guest_->truth().image;
    for (const auto& range : guest_->truth().stamped) {
      const std::uint64_t first = range.gpa == image.gpa ? image.gpa + image.size : range.gpa;
      regions.push_back({.gpa = Gpa{first}, .size = range.gpa + range.size - first});
    }
    return regions;
  }

  // The stamps need no monitor; everything else is asked of QEMU.
  Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) override {
    return guest_->qemu().memory(to_integer(gpa), size);
  }

  GuestInfo info() override {
    return {.vm_name = "contract", .pid = pid_, .vcpus = 1, .connector = "qemu-procfs"};
  }

  std::optional<bool> running() override {
    const auto running = guest_->qemu().running();
    return running ? std::optional(*running) : std::nullopt;
  }

  std::vector<Capability> must_have() override {
    std::vector needed{Capability::memory_write, Capability::run_control};
    if (backend_ == RamBackend::memfd || backend_ == RamBackend::file)
      needed.push_back(Capability::memory_view);
    if (driver_ == DriverType::qemu)
      needed.insert(needed.end(), {Capability::registers, Capability::events});
    return needed;
  }

  std::vector<std::pair<Reg, std::uint64_t>> registers() override {
    const auto& printed = guest_->truth().registers;
    std::vector<std::pair<Reg, std::uint64_t>> known;
    for (const RegisterInfo& info : kRegisters)
      if (const auto found = printed.find(info.name); found != printed.end())
        known.emplace_back(info.reg, found->second);
    return known;
  }

  std::optional<Errc> die() override {
    guest_->qemu().kill();
    return Errc::disconnected;
  }

 private:
  std::unique_ptr<TinyGuest> guest_;
  std::uint32_t pid_;  // also that of the dead guest
  RamBackend backend_;
  DriverType driver_;
};

std::string why_no_guest() {
  if (const std::string none = test::why_no_qemu(); !none.empty()) return none;
  return test::why_no_tiny_guest();
}

template <RamBackend backend, DriverType driver = DriverType::memflow>
Outcome<std::unique_ptr<Subject>> make() {
  auto guest = TinyGuest::boot({.machine = "pc,max-ram-below-4g=32M",
                                .memory = "64M",
                                .backend = backend,
                                .name = "contract"},
                               {.stride = 1});
  if (!guest) return std::unexpected(guest.error());
  return std::make_unique<QemuSubject>(*std::move(guest), backend, driver);
}

}  // namespace

std::vector<SubjectKind> qemu_procfs_subjects() {
  if (!connectors()[static_cast<std::size_t>(Connector::qemu_procfs)].open) return {};
  return {{"live_qemu_procfs_anonymous", why_no_guest, make<RamBackend::anonymous>},
          {"live_qemu_procfs_memfd", why_no_guest, make<RamBackend::memfd>},
          {"live_qemu_procfs_file", why_no_guest, make<RamBackend::file>}};
}

std::vector<SubjectKind> qemu_driver_subjects() {
  if (!drivers()[static_cast<std::size_t>(DriverType::qemu)].open) return {};
  return {{"live_qemu_driver", why_no_guest, make<RamBackend::memfd, DriverType::qemu>}};
}

}  // namespace microvmi::contract
