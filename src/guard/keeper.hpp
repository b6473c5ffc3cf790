// SPDX-License-Identifier: Apache-2.0
// Keeper: a guard process that sets a guest's gdb stub right when this program is killed.
#pragma once

#include <memory>

#include "guard/launch.hpp"
#include "qemu/gdb_repair.hpp"

namespace microvmi::guard {

// A RunControl that is one too guards its pauses itself at times; then no other guard is asked.
class SelfGuarding {
 public:
  SelfGuarding() = default;
  SelfGuarding(const SelfGuarding&) = delete;
  SelfGuarding& operator=(const SelfGuarding&) = delete;
  virtual ~SelfGuarding() = default;
  [[nodiscard]] virtual bool guards_itself() const = 0;
};

class Keeper {
 public:
  // The plan holds from now on; to be made before the stub is connected to.
  [[nodiscard]] static Expected<std::unique_ptr<Keeper>> start(const GuardOptions& options,
                                                               const qemu::StubPlan& plan);
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  ~Keeper();  // the stub was left in order, unless leave() said else: nothing is to be done

  [[nodiscard]] Expected<void> change(const qemu::StubPlan& plan);

  // The stub could not be left in order: the guard does it, and nobody waits for that.
  void leave() { leaves_ = true; }

 private:
  Keeper(Channel channel, std::chrono::milliseconds timeout)
      : channel_(std::move(channel)), timeout_(timeout) {}

  [[nodiscard]] Expected<void> tell(const Message& message);

  Channel channel_;
  std::chrono::milliseconds timeout_;
  bool leaves_ = false;
};

}  // namespace microvmi::guard
