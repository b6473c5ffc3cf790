// SPDX-License-Identifier: Apache-2.0
// Taking the ring, also from a program that was killed, and giving it back.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "driver/xen/events.hpp"
#include "driver/xen/run_control.hpp"
#include "driver/xen/selection.hpp"

namespace microvmi::xen {
namespace {

// How long a vCPU that was answered may take until it runs; and for how long it has to have run
// until what Xen kept back for it is surely done.
constexpr std::chrono::milliseconds kMost{2'000};
constexpr std::uint64_t kEnough = 1'000'000;  // nanoseconds

}  // namespace

// A folder that cannot be written to keeps nobody from listening.
Expected<void> Events::take_claim() {
  if (claims_.empty() || claim_) return {};
  auto made = native::Claim::make(fmt::format("{}/microvmi-xen-{}-{}", claims_, guest_.domid(),
                                              uuid_text(guest_.when_opened())));
  if (made) {
    claim_.emplace(*std::move(made));
    return {};
  }
  if (made.error().code != Errc::busy) return {};
  return fail(Errc::busy,
              fmt::format("another program listens to the events of domain {}: {}", guest_.domid(),
                          made.error().message),
              {}, made.error().hint);
}

// A ring that one of us left behind is ended; Xen lets go of its switches with it.
Errno Events::enable(RingPage& page) {
  const Errno error = guest_.xen().enable_ring(guest_.domid(), page);
  if (error != EBUSY || !claim_ || !claim_->was_left()) return error;
  if (const Errno ended = guest_.xen().disable_ring(guest_.domid()); ended != 0) return ended;
  return guest_.xen().enable_ring(guest_.domid(), page);
}

void Events::adopt(void* page) {
  page_ = page;
  ring_.emplace(page_);
}

void Events::give_back() {
  ring_.reset();
  guest_.xen().unbind();
  guest_.xen().unmap_ring(page_);
  static_cast<void>(guest_.xen().disable_ring(guest_.domid()));
}

// A new ring, bound; nothing of it is left where that fails.
Errno Events::take_ring() {
  RingPage page;
  Errno error = enable(page);
  if (error != 0) return error;
  error = guest_.xen().bind(guest_.domid(), page.port);
  adopt(page.page);
  if (error != 0) give_back();
  return error;
}

Expected<void> Events::need_ring() {
  if (ring_) return {};
  if (closed_) return fail(Errc::disconnected, "the vm is gone");
  std::uint32_t version = 0;
  if (const Errno error = guest_.xen().event_version(version); error != 0)
    return guest_.failure(error, "ask for the version of events");
  if (version != kEventVersion)
    return fail(
        Errc::not_supported,
        fmt::format("this Xen has vm_event {}, and this driver knows {}", version, kEventVersion));
  if (auto done = take_claim(); !done) return done;
  const bool left = claim_ && claim_->was_left();
  Errno error = take_ring();
  if (error == 0 && left) {
    let_all_go();
    error = take_ring();
  }
  if (error != 0) {
    // Whatever is there was not left by us, or is still to be ended by the next one.
    if (claim_ && !left) claim_->give_up();
    claim_.reset();
    if (error == EBUSY)
      return fail(Errc::busy,
                  fmt::format("the event ring of domain {} is taken: another program listens to "
                              "it, or one that was killed left it behind",
                              guest_.domid()),
                  {}, "end that program, or run it again and let it end by itself");
    return guest_.failure(error, "take the event ring");
  }
  return {};
}

// Xen counts what a vCPU waits for, and ignores an answer that none waits for. A ring in which
// there were more answers than requests is of no more use: an answer could get the place of a
// request.
void Events::let_all_go() {
  if (const auto now = guest_.look())
    for (std::uint32_t i = 0; i < now->vcpus; ++i) put(release_of(i));
  give_back();
}

std::map<std::uint32_t, std::uint64_t> Events::times() const {
  std::map<std::uint32_t, std::uint64_t> out;
  for (const std::uint32_t vcpu : answered_) {
    VcpuFacts facts;
    if (guest_.xen().vcpu(guest_.domid(), vcpu, facts) == 0) out[vcpu] = facts.cpu_time;
  }
  return out;
}

// With the ring goes what Xen has kept back for a vCPU: it must have run by then.
void Events::wait_until_they_ran(const std::map<std::uint32_t, std::uint64_t>& before) {
  const Wait wait = Wait::at_most(kMost);
  const auto ran = [this](const auto& one) {
    VcpuFacts facts;
    if (guest_.xen().vcpu(guest_.domid(), one.first, facts) != 0) return true;
    return facts.blocked || !facts.online || facts.cpu_time >= one.second + kEnough;
  };
  while (!std::ranges::all_of(before, ran) && wait.over() == Errc::none) {
    const auto now = guest_.look();
    if (!now || now->paused || now->shutdown) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Answered, whatever becomes of it.
void Events::dismiss(std::uint32_t vcpu) {
  if (answer(vcpu, Proceed{}) || !waiting_.contains(vcpu)) return;
  put(release_of(vcpu));
  std::erase(queue_, vcpu);
  waiting_.erase(vcpu);
}

// While the domain stands still nothing new comes, and what is there is all there is. vCPUs that
// had waited for a place in the ring take it when they run again, so it is looked at once more
// until there is nothing in it: of what is in it when the ring is given back, nobody lets the vCPUs
// go.
void Events::close() {
  constexpr int kRounds = 64;  // each serves a ring full of vCPUs, of which there are 512 at most
  closed_ = true;
  if (!ring_) return;
  asked_.clear();
  for (int round = 0; round < kRounds; ++round) {
    std::map<std::uint32_t, std::uint64_t> before;
    {
      const Standstill still(guest_);
      if (round == 0) static_cast<void>(apply().has_value());
      static_cast<void>(drain().has_value());
      while (!waiting_.empty()) dismiss(waiting_.begin()->first);
      if (answered_.empty()) {
        give_back();
        break;
      }
      before = times();
      answered_.clear();
    }
    wait_until_they_ran(before);
  }
  if (ring_) give_back();
  if (claim_) claim_->give_up();
  claim_.reset();
}

}  // namespace microvmi::xen
