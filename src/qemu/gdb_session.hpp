// SPDX-License-Identifier: Apache-2.0
// GdbSession: a guest under QEMU's gdb stub: stopped, stepped, with breakpoints in it.
//
// All vCPUs stop when one does (all-stop). vCPU N of QEMU is thread N + 1 of its stub.
//
// Threads: one at a time.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "microvmi/address.hpp"
#include "qemu/gdb_client.hpp"
#include "qemu/gdb_registers.hpp"

namespace microvmi::qemu {

// What a "Z" packet sets. The numbers are those of the packet.
struct GdbPoint {
  enum class Kind : std::uint8_t { software = 0, hardware = 1, write = 2, read = 3, access = 4 };

  Kind kind = Kind::software;
  std::uint64_t gva = 0;
  std::uint32_t length = 1;
  bool operator==(const GdbPoint&) const = default;
};

struct AttachFailure {
  Error error;
  // The connection was made and stops the guest now or, of a QEMU that hangs, later: whoever knows
  // whether it should run has to see to that.
  bool may_have_stopped = false;
};

class GdbSession {
 public:
  // The guest stands still afterwards. Breakpoints that an earlier debugger left are removed.
  [[nodiscard]] static std::expected<GdbSession, AttachFailure> attach(
      const Monitor& stub, std::chrono::milliseconds each);

  // Whether the guest ran before attach() stopped it.
  [[nodiscard]] bool found_running() const { return found_running_; }
  // Whether the guest was let go and no stop was taken since.
  [[nodiscard]] bool is_running() const { return running_; }
  [[nodiscard]] const std::vector<std::uint32_t>& vcpus() const { return vcpus_; }
  [[nodiscard]] bool is_x86() const { return layout_.is_x86(); }

  // Of a guest that stands still.
  [[nodiscard]] Expected<Registers> read(std::uint32_t vcpu);
  // One register, which is less to say and to parse; nothing where the stub does not have it.
  [[nodiscard]] Expected<std::optional<std::uint64_t>> read(std::uint32_t vcpu, Reg reg);
  // All of them, read back and compared, or it fails and names one that cannot be written.
  [[nodiscard]] Expected<void> write(std::uint32_t vcpu, const Registers& registers);
  [[nodiscard]] Expected<void> insert(const GdbPoint& point);
  [[nodiscard]] Expected<void> remove(const GdbPoint& point);
  // How steps treat interrupts and timers: QEMU's own default holds both back.
  [[nodiscard]] Expected<void> hold_interrupts(bool hold);
  // Guest memory as the vCPU that stopped last sees it.
  [[nodiscard]] Expected<std::string> peek(std::uint64_t gva, std::size_t size);

  [[nodiscard]] Expected<void> run();
  // The same, and what a register is as the guest begins to run.
  [[nodiscard]] Expected<std::optional<std::uint64_t>> run_reading(std::uint32_t vcpu, Reg reg);
  // One instruction of each of these; the others stand still or run meanwhile.
  enum class Others : std::uint8_t { stopped, running };
  [[nodiscard]] Expected<void> step(std::span<const std::uint32_t> vcpus, Others others);
  // Lets this one run, and no other.
  [[nodiscard]] Expected<void> run_alone(std::uint32_t vcpu);
  // Whether it sleeps in HLT, or was not started yet.
  [[nodiscard]] Expected<bool> is_halted(std::uint32_t vcpu);
  // Makes this vCPU the one that a stop is told of which no vCPU itself causes.
  [[nodiscard]] Expected<void> attend(std::uint32_t vcpu);
  // Of every vCPU: none steps any more. The guest runs for a moment for each of them.
  [[nodiscard]] Expected<void> clear_steps();
  // timed_out, cancelled: it runs on. A stop by another's hand (kSigInt) leaves is_running() true,
  // as that one may let it run again unseen.
  [[nodiscard]] Expected<GdbStop> next_stop(const Wait& wait);
  // Stops it. What it had stopped for before that comes back: an event that must not be lost.
  [[nodiscard]] Expected<std::optional<GdbStop>> halt();

  // Ends the session: nothing is left in the stub, and the guest runs or stands still.
  [[nodiscard]] Expected<void> detach(bool leave_running, std::span<const GdbPoint> points);

 private:
  explicit GdbSession(GdbClient client, std::chrono::milliseconds each)
      : client_(std::move(client)), each_(each) {}

  [[nodiscard]] Expected<void> begin();
  [[nodiscard]] Expected<void> find_vcpus();
  [[nodiscard]] Expected<std::string> document(const std::string& name);
  [[nodiscard]] Expected<void> check_vcpu(std::uint32_t vcpu) const;
  [[nodiscard]] Expected<void> verify(std::uint32_t vcpu, const Registers& written);
  [[nodiscard]] Wait patience() const;
  [[nodiscard]] Expected<void> point(char verb, const GdbPoint& point);

  GdbClient client_;
  std::chrono::milliseconds each_;                                // for one answer
  Wait::Clock::time_point end_ = Wait::Clock::time_point::max();  // of the attach
  GdbLayout layout_;
  std::vector<std::uint32_t> vcpus_;
  bool answered_ = false;  // so that found_running_ is known
  bool found_running_ = false;
  bool running_ = false;
  bool holds_interrupts_ = true;
};

}  // namespace microvmi::qemu
