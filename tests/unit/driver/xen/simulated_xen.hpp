// SPDX-License-Identifier: Apache-2.0
// SimulatedXen: a table of calls without a Xen, of one domain, whose ring has our own other end.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "driver/xen/native.hpp"
#include "unit/driver/xen/vendor.hpp"

namespace microvmi::test::xen {

using microvmi::xen::Domain;
using microvmi::xen::Errno;
using microvmi::xen::Message;
using microvmi::xen::Monitor;
using microvmi::xen::RingPage;
using microvmi::xen::Trap;
using microvmi::xen::VcpuFacts;

class SimulatedXen final : public microvmi::xen::Hypervisor {
 public:
  SimulatedXen();
  ~SimulatedXen() override;

  // The world, for a test to change.
  Domain one{.domid = 5, .hvm = true, .pages = 0, .vcpus = 2, .online = 2, .uuid = {1, 2, 3}};
  bool gone = false;
  std::map<std::uint64_t, std::array<std::byte, 4096>> frames{};
  std::uint64_t last = 0xfefff;
  std::uint64_t on_demand = 0, at_hand = 0;
  bool knows_types = true;
  std::uint32_t bits = 0x1f7b;  // what Xen 4.17 says on AMD
  std::uint32_t version_of_events = 7;
  bool has_access = false;  // rights of pages
  bool ring_is_taken = false;
  Bytes context{};

  // What was done.
  std::vector<std::pair<Monitor, std::uint32_t>> switched_on{};
  std::set<std::pair<Monitor, std::uint32_t>> on{};
  std::vector<Trap> traps{};
  std::vector<Message> responses{};
  std::map<std::uint64_t, std::uint8_t> access{};
  std::size_t maps = 0, mapped = 0, asked_types = 0, notices = 0;
  int pauses = 0, rings = 0, disabled = 0;
  int unanswered = 0;  // requests in the ring of now, or of the last one when it was given back

  // The guest did something; with one notice for all of them that have room in the ring.
  void happen(const std::vector<Message>& requests);
  [[nodiscard]] std::byte* ring_page() { return page_.data(); }

  [[nodiscard]] std::string version() const override { return "4.17"; }
  Errno domains(std::vector<Domain>& out) override;
  Errno domain(std::uint16_t domid, Domain& out) override;
  [[nodiscard]] std::optional<std::string> name(std::uint16_t) override { return "one"; }
  Errno pause(std::uint16_t) override;
  Errno unpause(std::uint16_t) override;
  void* map(std::uint16_t domid, bool writable, std::span<const std::uint64_t> wanted,
            std::span<int> errors) override;
  void unmap(void* pages, std::size_t count) override;
  Errno last_frame(std::uint16_t, std::uint64_t& frame) override;
  Errno last_host_frame(std::uint64_t& frame) override;
  Errno pages_on_demand(std::uint16_t, std::uint64_t& pages, std::uint64_t& given) override;
  Errno frame_types(std::uint16_t, std::span<std::uint64_t> types) override;
  Errno guest_width(std::uint16_t, unsigned& bytes) override;
  Errno vcpu(std::uint16_t, std::uint32_t vcpu, VcpuFacts& out) override;
  Errno hvm_record(std::uint16_t, std::uint16_t code, std::uint32_t vcpu,
                   std::span<std::byte> out) override;
  Errno hvm_context(std::uint16_t, std::vector<std::byte>& out) override;
  Errno set_hvm_context(std::uint16_t, std::span<std::byte> given) override;
  Errno pv_context(std::uint16_t, std::uint32_t, std::span<std::byte>) override;
  Errno set_pv_context(std::uint16_t, std::uint32_t, std::span<std::byte>) override;
  Errno inject(std::uint16_t, const Trap& trap) override;
  Errno event_version(std::uint32_t& version) override;
  Errno capabilities(std::uint16_t, std::uint32_t& out) override;
  Errno enable_ring(std::uint16_t, RingPage& out) override;
  void unmap_ring(void*) override {}
  Errno disable_ring(std::uint16_t) override;
  Errno monitor(std::uint16_t, Monitor what, std::uint32_t number, bool enable) override;
  Errno single_step(std::uint16_t, std::uint32_t, bool) override { return 0; }
  Errno frame_access(std::uint16_t, std::uint64_t frame, std::uint8_t& out) override;
  Errno set_frame_access(std::uint16_t, std::uint64_t frame, std::uint8_t given) override;
  Errno bind(std::uint16_t, std::uint32_t) override { return 0; }
  void unbind() override {}
  [[nodiscard]] int channel() const override { return channel_; }
  Errno take_notice() override;
  Errno notify() override;

 private:
  void admit();

  struct Mapping {
    std::vector<std::byte> bytes;
    std::vector<std::uint64_t> frames;
    bool writable;
  };

  alignas(4096) std::array<std::byte, 4096> page_{};
  std::optional<Front> front_{};
  std::deque<Message> waiting_for_room_{};
  int channel_ = -1;
  std::uint64_t time_ = 0;
  std::mutex mutex_{};  // of what several threads may ask: the domain, its pauses and its frames
  std::map<void*, Mapping> mappings_{};
};

}  // namespace microvmi::test::xen
