// SPDX-License-Identifier: Apache-2.0
// Vcpus: the events that wait for their answers, and why each vCPU stands still.
//
// The kernel sends a vCPU's next event only when the one before was answered. A pause is an event
// too: each pause command makes the kernel owe one, and answering it is how the vCPU runs again.
// There is no other command for that.
//
// Threads: on_event() and on_end() by the thread that reads; the rest one call at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "driver/kvm/answer.hpp"
#include "driver/kvm/connection.hpp"
#include "driver/kvm/interceptions.hpp"
#include "driver/kvm/negotiate.hpp"
#include "driver/kvm/patches.hpp"
#include "driver/kvm/state.hpp"
#include "microvmi/driver.hpp"

namespace microvmi::kvm {

class Vcpus final : public ReplySink,
                    public RunControl,
                    public EventControl,
                    public std::enable_shared_from_this<Vcpus> {
 public:
  explicit Vcpus(std::chrono::milliseconds answer_time) : answer_time_(answer_time) {}

  // From then on events are expected; until detach(), after which the connection is not used.
  void attach(Connection& connection, const Abilities& abilities);
  void detach();
  // Everything undone, every vCPU released, as far as that goes within a bounded time.
  void close();

  Expected<void> on_event(std::unique_ptr<ToldEvent> told);
  void on_end(const Error& error);

  // ReplySink
  Expected<void> send(VcpuId vcpu, std::uint64_t ticket, const AnyReply& reply) override;

  // RunControl
  Expected<void> pause() override;
  Expected<void> resume() override;
  Expected<bool> running() override;
  bool stays_paused() const override { return false; }  // the kernel lets go of all when we close

  // EventControl
  Expected<void> intercept(VcpuId vcpu, const Intercept& what) override;
  Expected<void> release(VcpuId vcpu, const Intercept& what) override;
  Expected<Event> next(const Wait& wait) override;

  // not_found where there is no such vCPU, also when asked again.
  [[nodiscard]] Expected<std::uint16_t> index_of(VcpuId vcpu);
  [[nodiscard]] std::uint32_t count() const { return count_; }

  // Stops the vCPU in an event of it, if only in one made for this, and back.
  [[nodiscard]] Expected<void> hold(std::uint16_t vcpu);
  void let_go(std::uint16_t vcpu);

  // What was written while the vCPU waits: the kernel shows it only when it runs again.
  [[nodiscard]] std::optional<Regs> written(std::uint16_t vcpu);
  void set_written(std::uint16_t vcpu, const Regs& regs);

  // The bytes of managed breakpoints, for whoever reads and writes memory.
  [[nodiscard]] Patches& patches() { return patches_; }

 private:
  enum class Stage : std::uint8_t { queued, taken, held };

  struct Vcpu {
    std::unique_ptr<ToldEvent> waiting{};  // null while it runs
    Stage stage = Stage::queued;           // of what waits; held: a pause
    bool managed = false;                  // it is one of our breakpoints
    unsigned owed = 0;                     // pauses asked for and not told yet
    unsigned holds = 0;                    // reasons why it shall not run
    bool paused = false;                   // pause() is one of them
    std::optional<Regs> written{};
  };

  struct Change {
    std::uint16_t vcpu;
    Switch one;
    bool on;
  };

  // What is set is made what was asked for. A vCPU that was never started is left for later, unless
  // it is the one that matters.
  Expected<void> apply(const Wait& wait, std::optional<std::uint16_t> matters = std::nullopt);
  Expected<void> check_supported(const Intercept& what) const;
  Expected<void> set_breakpoint(VcpuId vcpu, const Breakpoint::Filter& what);
  Expected<void> release_breakpoint(VcpuId vcpu, const Breakpoint::Filter& what);
  Expected<Gpa> translate(VcpuId vcpu, Gva gva);
  Expected<void> refresh_count();
  void settle_pauses(const Wait& wait);
  [[nodiscard]] Wait answer_wait() const { return Wait::at_most(answer_time_); }

  // With the lock held.
  [[nodiscard]] Switches desired(std::uint16_t vcpu) const;
  [[nodiscard]] Switches desired_of_vm() const;
  std::vector<Change> changes() const;
  Expected<void> note(const Change& change, const Request& request,
                      std::optional<std::uint16_t> matters);
  void route(std::uint16_t index, Vcpu& vcpu);
  void route_breakpoint(std::uint16_t index, Vcpu& vcpu);
  void set_up_new(std::uint16_t index, Vcpu& vcpu);
  void enqueue(std::uint16_t index, Vcpu& vcpu);
  void answer(Vcpu& vcpu, const Bytes& bytes);
  void answer(Vcpu& vcpu, Action action);
  void answer_by_default(std::uint16_t index, Vcpu& vcpu);
  void answer_unwanted();
  Expected<void> answer_cpuid(Vcpu& vcpu, const CpuidResult& result);
  [[nodiscard]] bool is_wanted(std::uint16_t index, const Vcpu& vcpu) const;
  [[nodiscard]] bool all_taken() const;
  [[nodiscard]] bool needs_pause(Vcpu& vcpu);
  void drop_hold(Vcpu& vcpu);
  void post(const Request& request);
  void step_over(std::uint16_t index, Vcpu& vcpu);
  void start_step(std::uint16_t index, Vcpu& vcpu);
  void end_step(std::uint16_t index, Vcpu& vcpu);
  std::optional<Expected<Event>> take_next();

  const std::chrono::milliseconds answer_time_;
  Abilities abilities_{};
  std::atomic<std::uint32_t> count_ = 0;
  Patches patches_{};

  std::mutex mutex_{};
  std::condition_variable_any changed_{};
  Connection* connection_ = nullptr;
  bool closed_ = false;
  std::optional<Error> end_ = std::nullopt;
  std::map<std::uint16_t, Vcpu> vcpus_{};
  std::deque<std::uint16_t> queue_{};  // those whose event nobody took yet
  std::deque<std::unique_ptr<ToldEvent>> vm_events_{};
  Interceptions asked_{};
  std::map<std::uint16_t, Switches> set_{};
  Switches vm_set_{};
  bool postponed_ = false;  // something is to be set when a vCPU was started
  unsigned pauses_ = 0;

  // One breakpoint is stepped over at a time, while the other vCPUs stand still.
  struct Step {
    std::uint16_t vcpu;
    Gpa gpa;
    std::vector<Switch> on;  // only for this
    std::vector<std::uint16_t> held;
  };
  std::optional<Step> step_ = std::nullopt;
  std::deque<std::uint16_t> to_step_{};
};

}  // namespace microvmi::kvm
