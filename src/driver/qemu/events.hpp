// SPDX-License-Identifier: Apache-2.0
// DriverEvents: breakpoints, watchpoints and single steps through the gdb stub.
//
// All vCPUs stand still while an event waits for its answer, and nothing else can come meanwhile.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <variant>
#include <vector>

#include "driver/qemu/run_control.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::qemu_driver {

class DriverEvents final : public EventControl {
 public:
  // Under KVM a breakpoint is taken out while it is stepped over; TCG steps over it by itself.
  DriverEvents(Attachment& attachment, DriverRunControl& run_control, const PhysicalMemory& memory,
               bool kvm);
  DriverEvents(const DriverEvents&) = delete;
  DriverEvents& operator=(const DriverEvents&) = delete;
  ~DriverEvents() override;

  [[nodiscard]] Expected<void> intercept(VcpuId vcpu, const Intercept& what) override;
  [[nodiscard]] Expected<void> release(VcpuId vcpu, const Intercept& what) override;
  [[nodiscard]] Expected<Event> next(const Wait& wait) override;

 private:
  class Sink;

  struct Asked {
    VcpuId vcpu;
    Intercept what;
    bool operator==(const Asked&) const = default;
  };

  // What one stop is told as.
  struct Ready {
    std::variant<Breakpoint, Watchpoint, SingleStep> what;
    VcpuId vcpu;
    Registers registers;
    Asked asked;
  };

  [[nodiscard]] std::vector<qemu::GdbPoint> wanted_points() const;
  [[nodiscard]] Expected<void> change_points();
  [[nodiscard]] Expected<void> remove_points(qemu::GdbSession& stub,
                                             std::span<const qemu::GdbPoint> wanted);
  [[nodiscard]] Expected<void> set_points(qemu::GdbSession& stub,
                                          std::span<const qemu::GdbPoint> wanted);
  [[nodiscard]] Expected<std::optional<qemu::GdbStop>> next_stop(qemu::GdbSession& stub,
                                                                 const Wait& wait);
  [[nodiscard]] Expected<void> take_stop(const qemu::GdbStop& stop);
  void find_watches(const qemu::GdbStop& stop, VcpuId vcpu, const Registers& registers);
  void tell_where(VcpuId vcpu, const Registers& registers);
  void find_breakpoints(VcpuId vcpu, const Registers& registers);
  [[nodiscard]] Event deliver();
  [[nodiscard]] Expected<void> answer(std::uint64_t ticket, const AnyReply& reply);
  [[nodiscard]] Expected<void> go_on(qemu::GdbSession& stub);
  [[nodiscard]] Expected<void> step_over(qemu::GdbSession& stub);
  [[nodiscard]] Expected<void> step_over(qemu::GdbSession& stub, std::uint32_t vcpu,
                                         const Registers& state);
  [[nodiscard]] Expected<void> look_at_points(qemu::GdbSession& stub);
  [[nodiscard]] Expected<void> step_off(qemu::GdbSession& stub, std::uint32_t vcpu);
  [[nodiscard]] bool can_be_seen_later(const qemu::GdbSession& stub, const qemu::GdbStop& stop,
                                       std::uint32_t vcpu);
  [[nodiscard]] Expected<void> run_and_see(qemu::GdbSession& stub, std::uint32_t vcpu);
  [[nodiscard]] bool hits_again(std::uint32_t vcpu, const Registers& registers);
  [[nodiscard]] Expected<bool> is_off(qemu::GdbSession& stub, const qemu::GdbStop& stop,
                                      std::uint32_t vcpu);
  [[nodiscard]] Expected<void> end_steps(qemu::GdbSession& stub);
  [[nodiscard]] Expected<void> begin_steps(qemu::GdbSession& stub,
                                           const std::vector<std::uint32_t>& steps);
  [[nodiscard]] Expected<void> find_steps(qemu::GdbSession& stub);
  [[nodiscard]] bool watches() const;
  [[nodiscard]] Expected<void> find_hits(qemu::GdbSession& stub);
  [[nodiscard]] Expected<void> find_hit(qemu::GdbSession& stub, std::uint32_t vcpu);
  [[nodiscard]] Expected<bool> stop_there(qemu::GdbSession& stub, std::uint32_t vcpu);
  [[nodiscard]] Expected<bool> take_kept(qemu::GdbSession& stub, std::uint32_t vcpu);
  [[nodiscard]] bool is_idle(std::uint32_t vcpu, const Registers& registers);
  [[nodiscard]] Expected<bool> was_idle(qemu::GdbSession& stub, std::uint32_t vcpu,
                                        std::uint64_t rip, bool steps_on);
  void look_at_code(qemu::GdbSession& stub, const qemu::GdbPoint& point);
  [[nodiscard]] bool has_point_at(std::uint64_t rip) const;
  [[nodiscard]] std::vector<std::uint32_t> steppers(const qemu::GdbSession& stub) const;
  [[nodiscard]] std::optional<Gpa> physical(const Registers& registers, Gva gva) const;
  void forget(const Asked& asked);

  Attachment& attachment_;
  DriverRunControl& run_control_;
  const PhysicalMemory& memory_;
  bool kvm_;
  std::shared_ptr<Sink> sink_;
  std::vector<Asked> asked_;
  std::deque<Ready> ready_;
  std::optional<std::uint64_t> pending_;  // the ticket of the event that was taken
  std::uint64_t tickets_ = 0;
  std::uint64_t point_ = 0;                         // the breakpoint that is stepped over
  std::map<std::uint32_t, Registers> at_point_;     // vCPUs that stand at one that was told
  std::optional<std::uint32_t> unseen_;             // the vCPU whose step is seen as it runs on
  std::map<std::uint32_t, Registers> again_;        // vCPUs that will hit one again that was told
  bool hit_again_ = false;                          // one did: the next steps are seen at once
  std::vector<std::uint64_t> repeating_;            // breakpoints at REP instructions
  std::vector<std::uint32_t> stepping_;             // vCPUs whose step the stub has not told yet
  std::map<std::uint32_t, Registers> before_step_;  // where each of them was stopped last
  std::map<std::uint32_t, int> idle_steps_;         // of each vCPU, one after the other
  std::set<std::uint32_t> unheard_;  // vCPUs that may have hit a watchpoint and were not told of
  bool watched_ = false;             // whether the guest ran with one
};

}  // namespace microvmi::qemu_driver
