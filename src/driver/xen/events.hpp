// SPDX-License-Identifier: Apache-2.0
// Events: what a domain's vCPUs wait for, through the ring that Xen has one of for each domain.
//
// The ring is taken when events are asked for, and given back when this is closed. Xen's switches
// are those of the whole domain: what comes from a vCPU that nobody asked for is answered Proceed.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "driver/xen/answer.hpp"
#include "driver/xen/guest.hpp"
#include "driver/xen/native_claim.hpp"
#include "driver/xen/ring.hpp"
#include "driver/xen/switches.hpp"
#include "microvmi/control.hpp"

namespace microvmi::xen {

// Writes registers of a vCPU that Xen's answers have no place for.
class ContextWriter {
 public:
  ContextWriter() = default;
  ContextWriter(const ContextWriter&) = delete;
  ContextWriter& operator=(const ContextWriter&) = delete;
  virtual ~ContextWriter() = default;
  virtual Expected<void> write_context(std::uint32_t vcpu, const Registers& wanted) = 0;
};

class Events final : public ReplySink,
                     public EventControl,
                     public std::enable_shared_from_this<Events> {
 public:
  // `claims` is the folder for the files that say who listens; empty: nobody is asked.
  Events(const Guest& guest, ContextWriter& writer, std::string claims)
      : guest_(guest), writer_(writer), claims_(std::move(claims)) {}

  // Every interception ended, every vCPU answered, the ring given back. Nothing is used afterwards.
  void close();

  // ReplySink
  Expected<void> send(VcpuId vcpu, std::uint64_t ticket, const AnyReply& reply) override;

  // EventControl
  Expected<void> intercept(VcpuId vcpu, const Intercept& what) override;
  Expected<void> release(VcpuId vcpu, const Intercept& what) override;
  Expected<Event> next(const Wait& wait) override;

  // Takes the ring, unless it is ours already.
  [[nodiscard]] Expected<void> need_ring();

  // While a vCPU waits for the answer to an event: what was written since.
  [[nodiscard]] const Registers* written(std::uint32_t vcpu) const;
  // False where it does not wait; then nothing was done.
  [[nodiscard]] bool write(std::uint32_t vcpu, const Registers& wanted);

 private:
  struct Asked {
    VcpuId vcpu;
    Intercept what;
  };
  struct Waiting {
    Message request{};
    std::uint64_t ticket = 0;
    bool taken = false;
    Registers written{};
  };

  [[nodiscard]] std::vector<Asked>::iterator find(VcpuId vcpu, const Intercept& what);
  [[nodiscard]] Expected<void> check(VcpuId vcpu, const Intercept& what);
  [[nodiscard]] Expected<void> check_page_access();
  [[nodiscard]] Expected<void> take_claim();
  [[nodiscard]] Errno enable(RingPage& page);
  [[nodiscard]] Errno take_ring();
  void adopt(void* page);
  void give_back();
  void let_all_go();

  // What is set is made what was asked for.
  Expected<void> apply();
  void apply_steps();
  [[nodiscard]] bool is_wanted(const Message& request) const;

  // Everything that is in the ring, to where it belongs.
  Expected<void> drain();
  Expected<void> answer(std::uint32_t vcpu, const AnyReply& reply);
  void dismiss(std::uint32_t vcpu);
  void put(const Message& response);
  void answer_unwanted();
  [[nodiscard]] bool all_taken(const Domain& now) const;
  Expected<std::optional<Event>> take_next();

  void wait_until_they_ran(const std::map<std::uint32_t, std::uint64_t>& before);
  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> times() const;

  const Guest& guest_;
  ContextWriter& writer_;
  std::string claims_;
  std::optional<native::Claim> claim_ = std::nullopt;
  void* page_ = nullptr;
  std::optional<Ring> ring_ = std::nullopt;
  std::vector<Asked> asked_{};
  std::set<Switch> set_{};
  std::set<std::uint32_t> stepping_{};
  std::map<std::uint32_t, Waiting> waiting_{};
  std::set<std::uint32_t> answered_{};  // vCPUs that may not have run since
  std::deque<std::uint32_t> queue_{};   // those whose event nobody took yet
  std::uint64_t ticket_ = 0;
  bool closed_ = false;
};

}  // namespace microvmi::xen
