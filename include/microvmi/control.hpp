// SPDX-License-Identifier: Apache-2.0
// What a driver may be able to do beside memory: run control, registers, events, injection, rights,
// pages that were written, XSAVE areas.
//
// Threads: one call at a time on all of them together, from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "microvmi/error.hpp"
#include "microvmi/event.hpp"
#include "microvmi/wait.hpp"

namespace microvmi {

class RunControl {
 public:
  RunControl() = default;
  RunControl(const RunControl&) = delete;
  RunControl& operator=(const RunControl&) = delete;
  virtual ~RunControl() = default;
  [[nodiscard]] virtual Expected<void> pause() = 0;
  [[nodiscard]] virtual Expected<void> resume() = 0;
  [[nodiscard]] virtual Expected<bool> running() = 0;
  // Whether what pause() stopped stays so when the driver is closed; where a protocol cannot leave
  // a guest stopped, it runs again. A Vm restores what it found in any case.
  [[nodiscard]] virtual bool stays_paused() const { return true; }
};

struct VcpuRegisters {
  VcpuId vcpu;
  Registers registers;
};

class RegisterAccess {
 public:
  RegisterAccess() = default;
  RegisterAccess(const RegisterAccess&) = delete;
  RegisterAccess& operator=(const RegisterAccess&) = delete;
  virtual ~RegisterAccess() = default;
  // Leaves the guest running where the backend can. not_found: no such vCPU.
  [[nodiscard]] virtual Expected<Registers> read(VcpuId vcpu) = 0;
  // Of every vCPU, ascending; in one question where the backend can, else one after the other.
  [[nodiscard]] virtual Expected<std::vector<VcpuRegisters>> read_all();
  // Writes the known ones alone: all of them, or it fails and names one that it cannot write. While
  // an event of the vCPU waits for its answer they hold at the latest when it is answered.
  [[nodiscard]] virtual Expected<void> write(VcpuId vcpu, const Registers& registers) = 0;
};

// Nothing is intercepted unless asked for. Closing ends every interception, answers what waits and
// leaves the guest as it was found.
//
// Threads: one call at a time, replies among them; a wait in next() ends early by its stop token.
class EventControl {
 public:
  EventControl() = default;
  EventControl(const EventControl&) = delete;
  EventControl& operator=(const EventControl&) = delete;
  virtual ~EventControl() = default;

  // Of one vCPU or of kEveryVcpu. What is intercepted already stays so. A backend that can only do
  // it for all answers Proceed itself for the vCPUs that nobody asked for. not_supported: this
  // driver or this guest has no such event.
  [[nodiscard]] virtual Expected<void> intercept(VcpuId vcpu, const Intercept& what) = 0;

  // Given the same two. Afterwards none comes, also none that happened before and was not taken
  // yet: those are answered Proceed. not_found: it was not intercepted.
  [[nodiscard]] virtual Expected<void> release(VcpuId vcpu, const Intercept& what) = 0;

  // The next event, in the order in which they happened on a vCPU; none is lost or told twice.
  // Several vCPUs may have one at once. timed_out, cancelled: nothing came. busy: nothing can come
  // before an event that was taken is answered, as far as the driver knows. disconnected: the guest
  // is gone.
  [[nodiscard]] virtual Expected<Event> next(const Wait& wait) = 0;
};

class Injection {
 public:
  Injection() = default;
  Injection(const Injection&) = delete;
  Injection& operator=(const Injection&) = delete;
  virtual ~Injection() = default;
  // The vCPU gets it when it runs next; TrapDelivered tells what it really got. busy: another one
  // is pending.
  [[nodiscard]] virtual Expected<void> inject(VcpuId vcpu, const Exception& exception) = 0;
};

struct PageRights {
  Gfn gfn;
  Access allowed;
};

// What the guest may do to a page of its own. What it may not is a PageAccess, where that is
// intercepted. Rights are those of the whole guest; closing restores them.
class PageAccessControl {
 public:
  PageAccessControl() = default;
  PageAccessControl(const PageAccessControl&) = delete;
  PageAccessControl& operator=(const PageAccessControl&) = delete;
  virtual ~PageAccessControl() = default;
  [[nodiscard]] virtual Expected<Access> allowed(Gfn gfn, SlatView view = kDefaultView) = 0;
  // In order; the error names the first page for which it failed, the ones before it are changed.
  [[nodiscard]] virtual Expected<void> allow(std::span<const PageRights> pages,
                                             SlatView view = kDefaultView) = 0;

  // Views: each has rights of its own, and a vCPU sees one of them. Only the default one, unless a
  // driver says otherwise.
  [[nodiscard]] virtual Expected<SlatView> create_view() { return no_views(); }
  [[nodiscard]] virtual Expected<void> destroy_view(SlatView) { return no_views(); }
  [[nodiscard]] virtual Expected<SlatView> view_of(VcpuId) { return no_views(); }
  [[nodiscard]] virtual Expected<void> switch_view(VcpuId, SlatView) { return no_views(); }

 private:
  static std::unexpected<Error> no_views() {
    return fail(Errc::not_supported, "this driver or guest has one view of memory only");
  }
};

// Whole pages of guest memory.
struct PageRange {
  Gpa gpa{};
  std::uint64_t size = 0;
  bool operator==(const PageRange&) const = default;
};

// Which pages are written while the guest runs. Closing ends it.
class DirtyPages {
 public:
  DirtyPages() = default;
  DirtyPages(const DirtyPages&) = delete;
  DirtyPages& operator=(const DirtyPages&) = delete;
  virtual ~DirtyPages() = default;
  // From now on. busy: it has begun, or another one tracks this guest.
  [[nodiscard]] virtual Expected<void> begin() = 0;
  // Every page that was written since begin() or the last take(), by the guest or by the program
  // that runs it, sorted and apart; perhaps some that were not. A page that is written after this
  // call comes with the next one. busy: it has not begun.
  [[nodiscard]] virtual Expected<std::vector<PageRange>> take() = 0;
  [[nodiscard]] virtual Expected<void> end() = 0;
};

// Vector registers, and whatever else a processor saves beside the registers of registers.hpp.
class XsaveAccess {
 public:
  XsaveAccess() = default;
  XsaveAccess(const XsaveAccess&) = delete;
  XsaveAccess& operator=(const XsaveAccess&) = delete;
  virtual ~XsaveAccess() = default;
  // The XSAVE area in the standard, uncompacted form (Intel SDM vol. 1, 13.4): the 512 bytes of
  // FXSAVE, of which x87 and MMX registers are from 32 on, XMM0 to XMM15 from 160; then, at 512,
  // eight bytes that say which parts are not as after a reset, and from 576 on the other parts (the
  // upper halves of YMM are the first), each where CPUID leaf 13 of that processor has it. A part
  // that is as after a reset may have any bytes. not_found: no such vCPU.
  [[nodiscard]] virtual Expected<std::vector<std::byte>> read_xsave(VcpuId vcpu) = 0;
};

}  // namespace microvmi
