// SPDX-License-Identifier: Apache-2.0
// Hypervisor: the calls of Xen's libraries that the driver makes, without their types.
//
// The libraries are loaded at run time by their versioned names. Each call gives 0 or an errno.
// Threads: any call from any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::xen {

using Errno = int;

// What Xen tells of a domain (XEN_DOMCTL_getdomaininfo).
struct Domain {
  std::uint16_t domid = 0;
  bool hvm = false;  // HVM or PVH; else PV
  bool dying = false;
  bool shutdown = false;  // crashed guests that are kept are too
  bool paused = false;
  std::uint64_t pages = 0;
  std::uint64_t most_pages = 0;  // that Xen lets it have
  std::uint64_t shared_info_frame = 0;
  std::uint32_t vcpus = 0;  // that it can have
  std::uint32_t online = 0;
  std::array<std::uint8_t, 16> uuid{};
};

struct VcpuFacts {
  bool online = false;
  bool blocked = false;
  std::uint64_t cpu_time = 0;  // nanoseconds
};

// XEN_DOMCTL_MONITOR_EVENT_*: as bits of capabilities and as what is switched on and off.
enum class Monitor : std::uint8_t {
  write_ctrlreg = 0,
  mov_to_msr = 1,
  singlestep = 2,
  software_breakpoint = 3,
  guest_request = 4,
  debug_exception = 5,
  cpuid = 6,
  privileged_call = 7,
  descriptor = 9,
  emul_unimplemented = 10,
};

struct RingPage {
  void* page = nullptr;
  std::uint32_t port = 0;
};

struct Trap {
  std::uint32_t vcpu = 0;
  std::uint8_t vector = 0;
  std::uint8_t type = 0;
  std::uint32_t error_code = 0;
  std::uint8_t length = 0;  // of the instruction
  std::uint64_t extra = 0;  // cr2 of a page fault, pending debug exceptions of #DB
};

class Hypervisor {
 public:
  Hypervisor() = default;
  Hypervisor(const Hypervisor&) = delete;
  Hypervisor& operator=(const Hypervisor&) = delete;
  virtual ~Hypervisor() = default;

  [[nodiscard]] virtual std::string version() const = 0;  // "4.17"

  // Domains. ESRCH where there is none of this number.
  virtual Errno domains(std::vector<Domain>& out) = 0;
  virtual Errno domain(std::uint16_t domid, Domain& out) = 0;
  [[nodiscard]] virtual std::optional<std::string> name(std::uint16_t domid) = 0;
  virtual Errno pause(std::uint16_t domid) = 0;
  virtual Errno unpause(std::uint16_t domid) = 0;

  // Memory. Of each frame `errors` tells 0 or an errno; null where nothing could be mapped.
  virtual void* map(std::uint16_t domid, bool writable, std::span<const std::uint64_t> frames,
                    std::span<int> errors) = 0;
  virtual void unmap(void* pages, std::size_t count) = 0;
  virtual Errno last_frame(std::uint16_t domid, std::uint64_t& frame) = 0;
  virtual Errno last_host_frame(std::uint64_t& frame) = 0;
  // Pages that come when they are touched, and how many there are for them.
  virtual Errno pages_on_demand(std::uint16_t domid, std::uint64_t& pages,
                                std::uint64_t& at_hand) = 0;
  // Puts the type of each frame in its place (XEN_DOMCTL_PFINFO_*); ENOSYS in a library without.
  virtual Errno frame_types(std::uint16_t domid, std::span<std::uint64_t> frames) = 0;

  // vCPUs.
  virtual Errno guest_width(std::uint16_t domid, unsigned& bytes) = 0;
  virtual Errno vcpu(std::uint16_t domid, std::uint32_t vcpu, VcpuFacts& out) = 0;
  virtual Errno hvm_record(std::uint16_t domid, std::uint16_t code, std::uint32_t vcpu,
                           std::span<std::byte> out) = 0;
  virtual Errno hvm_context(std::uint16_t domid, std::vector<std::byte>& out) = 0;
  virtual Errno set_hvm_context(std::uint16_t domid, std::span<std::byte> context) = 0;
  virtual Errno pv_context(std::uint16_t domid, std::uint32_t vcpu, std::span<std::byte> out) = 0;
  virtual Errno set_pv_context(std::uint16_t domid, std::uint32_t vcpu,
                               std::span<std::byte> context) = 0;
  virtual Errno inject(std::uint16_t domid, const Trap& trap) = 0;

  // Events.
  virtual Errno event_version(std::uint32_t& version) = 0;
  virtual Errno capabilities(std::uint16_t domid, std::uint32_t& bits) = 0;
  virtual Errno enable_ring(std::uint16_t domid, RingPage& out) = 0;
  virtual void unmap_ring(void* page) = 0;
  virtual Errno disable_ring(std::uint16_t domid) = 0;
  virtual Errno monitor(std::uint16_t domid, Monitor what, std::uint32_t number, bool on) = 0;
  virtual Errno single_step(std::uint16_t domid, std::uint32_t vcpu, bool on) = 0;
  virtual Errno frame_access(std::uint16_t domid, std::uint64_t frame, std::uint8_t& access) = 0;
  virtual Errno set_frame_access(std::uint16_t domid, std::uint64_t frame, std::uint8_t access) = 0;

  // The event channel of the ring: a descriptor that is readable when something came.
  virtual Errno bind(std::uint16_t domid, std::uint32_t port) = 0;
  virtual void unbind() = 0;
  [[nodiscard]] virtual int channel() const = 0;
  virtual Errno take_notice() = 0;  // of what made it readable; EAGAIN where it was nothing
  virtual Errno notify() = 0;
};

namespace native {

// Whether this host runs on Xen and we are its control domain, as far as files tell.
[[nodiscard]] Expected<void> check_host();

// The name of the libxenctrl that would be used; an error names what is missing or unknown.
[[nodiscard]] Expected<std::string> find_libraries();

// Opens the interfaces of this host's Xen.
[[nodiscard]] Expected<std::unique_ptr<Hypervisor>> open();

}  // namespace native
}  // namespace microvmi::xen
