// SPDX-License-Identifier: Apache-2.0
// The capabilities of the connector over host::KvmControl.
#include "connector/kvm/vcpus.hpp"

#include "connector/kvm/vcpus_dirty.hpp"
#include "host/linux/kvm_control.hpp"

namespace microvmi::kvm_connector {
namespace {

// A thread that is busy in the VMM comes back into KVM_RUN within milliseconds, on a loaded host
// within some more.
constexpr std::chrono::seconds kPatience{5};

}  // namespace

class HeldThreads final : public RunControl {
 public:
  explicit HeldThreads(host::KvmControl& control) : control_(control) {}

  Expected<void> pause() override { return control_.hold(Wait::at_most(kPatience)); }
  Expected<void> resume() override {
    control_.release();
    return {};
  }
  Expected<bool> running() override { return control_.running(); }
  // The kernel lets go of the threads when we end, however that is.
  bool stays_paused() const override { return false; }

 private:
  host::KvmControl& control_;
};

class SharedPage final : public RegisterAccess, public XsaveAccess {
 public:
  explicit SharedPage(host::KvmControl& control) : control_(control) {}

  Expected<Registers> read(VcpuId vcpu) override {
    return control_.read(to_integer(vcpu), Wait::at_most(kPatience));
  }
  Expected<void> write(VcpuId vcpu, const Registers& registers) override {
    return control_.write(to_integer(vcpu), registers, Wait::at_most(kPatience));
  }
  Expected<std::vector<std::byte>> read_xsave(VcpuId vcpu) override {
    return control_.read_xsave(to_integer(vcpu), Wait::at_most(kPatience));
  }

 private:
  host::KvmControl& control_;
};

struct Vcpus::Parts {
  Parts(std::unique_ptr<host::KvmControl> opened, host::ProcessMemory& memory)
      : control(std::move(opened)),
        threads(*control),
        registers(*control),
        dirty(make_dirty_pages(*control, memory)) {}

  std::unique_ptr<host::KvmControl> control;
  HeldThreads threads;
  SharedPage registers;
  std::unique_ptr<DirtyPages> dirty;
};

Expected<std::unique_ptr<Vcpus>> Vcpus::open(const VcpuTarget& target,
                                             host::ProcessMemory& memory) {
  auto control =
      host::KvmControl::open(target.pid, target.start_time, target.intrusive == Intrusive::inject);
  if (!control) return std::unexpected(std::move(control.error()));
  return std::unique_ptr<Vcpus>(new Vcpus(std::make_unique<Parts>(*std::move(control), memory)));
}

Vcpus::Vcpus(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Vcpus::~Vcpus() = default;

RunControl* Vcpus::run_control() { return &parts_->threads; }
RegisterAccess* Vcpus::registers() { return &parts_->registers; }
DirtyPages* Vcpus::dirty_pages() { return parts_->dirty.get(); }
XsaveAccess* Vcpus::xsave() { return parts_->control->injects() ? &parts_->registers : nullptr; }
std::uint32_t Vcpus::count() const { return static_cast<std::uint32_t>(parts_->control->count()); }

}  // namespace microvmi::kvm_connector
