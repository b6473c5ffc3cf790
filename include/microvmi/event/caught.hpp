// SPDX-License-Identifier: Apache-2.0
// Caught: one event that waits for its answer.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "microvmi/address.hpp"
#include "microvmi/error.hpp"
#include "microvmi/event/reply.hpp"
#include "microvmi/registers.hpp"

namespace microvmi {

// The driver's end of an event. Called as the driver's other control calls are: one at a time.
class ReplySink {
 public:
  ReplySink() = default;
  ReplySink(const ReplySink&) = delete;
  ReplySink& operator=(const ReplySink&) = delete;
  virtual ~ReplySink() = default;
  // not_supported: this backend cannot answer so; then nothing was sent, and another answer may be.
  virtual Expected<void> send(VcpuId vcpu, std::uint64_t ticket, const AnyReply& reply) = 0;
};

// The vCPU stands still until reply() or until this is destroyed, which answers Proceed; an error
// of that is lost, so who wants to know replies. It may outlive its Vm, which has answered it by
// then.
template <class E>
class Caught {
 public:
  Caught(E what, VcpuId vcpu, Registers registers, std::weak_ptr<ReplySink> sink,
         std::uint64_t ticket)
      : what_(what), vcpu_(vcpu), registers_(registers), sink_(std::move(sink)), ticket_(ticket) {}
  Caught(Caught&& other) noexcept = default;
  Caught& operator=(Caught&&) = delete;
  Caught(const Caught&) = delete;
  Caught& operator=(const Caught&) = delete;
  ~Caught() {
    if (const auto sink = sink_.lock())
      static_cast<void>(sink->send(vcpu_, ticket_, Proceed{}).has_value());
  }

  const E& operator*() const { return what_; }
  const E* operator->() const { return &what_; }
  [[nodiscard]] VcpuId vcpu() const { return vcpu_; }

  // As the event found them; those that did not come with it are unknown.
  [[nodiscard]] const Registers& registers() const { return registers_; }

  // The first answer counts. disconnected: the Vm is gone or the event was answered before.
  // not_supported: this driver has no such answer; the event still waits for another one.
  template <ReplyTo<E> R>
  [[nodiscard]] Expected<void> reply(R answer) {
    const auto sink = sink_.lock();
    if (!sink) return fail(Errc::disconnected, "the event was answered before or its vm is gone");
    auto sent = sink->send(vcpu_, ticket_, std::move(answer));
    if (sent || sent.error().code != Errc::not_supported) sink_.reset();
    return sent;
  }

 private:
  E what_;
  VcpuId vcpu_;
  Registers registers_;
  std::weak_ptr<ReplySink> sink_;  // empty once answered
  std::uint64_t ticket_;
};

}  // namespace microvmi
