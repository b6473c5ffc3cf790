// SPDX-License-Identifier: Apache-2.0
// Peer: plays QEMU and the kernel behind it on the socket where the kvm driver listens.
//
// A thread of bounded life connects, again and again as QEMU does, shakes hands and lets Kernel
// answer. What the tool does wrong fails the test when the peer goes away.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/kvmi_peer/kernel.hpp"

namespace microvmi::test::kvmi {

enum class Greeting : std::uint8_t {
  good,
  silent,            // connects and says nothing
  hangup,            // connects and goes
  half,              // 40 bytes, then silence
  half_then_hangup,  // 40 bytes, then the end
  deaf,              // good, but it goes before the answer is read
  stalling,          // good, but it takes nothing and says nothing more
};

struct PeerOptions {
  std::filesystem::path path{};
  std::optional<std::uint32_t> vsock_port =
      std::nullopt;  // instead of the path, at CID 1: this machine
  KernelSetup kernel{};
  std::string name = "simulated";
  Bytes uuid{0xde, 0xad, 0xbe, 0xef, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  std::int64_t start_time = 1'700'000'000;
  std::optional<std::uint32_t> struct_size = std::nullopt;  // else what the dialect's QEMU sends
  std::optional<std::array<std::uint8_t, 20>> cookie = std::nullopt;  // QEMU has a key
  Greeting greeting = Greeting::good;
  std::optional<std::chrono::microseconds> drip = std::nullopt;  // one byte at a time, so far apart
  std::chrono::milliseconds reconnect{20};
  unsigned connections = ~0U;  // after so many it is gone
  std::chrono::milliseconds life{90'000};
};

// 2 MiB from 0 with a hole from 640 KiB to 1 MiB, 1 MiB at 4 GiB.
[[nodiscard]] Guest usual_guest(unsigned vcpus = 2);

class Peer {
 public:
  explicit Peer(PeerOptions options, Guest guest = usual_guest());
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer();

  // The guest does that, as soon as its vCPU gets there.
  std::shared_ptr<Outcome> begin(unsigned vcpu, const Deed& deed);
  // The same, and what became of it.
  Outcome act(unsigned vcpu, const Deed& deed) { return wait(begin(vcpu, deed)); }
  Outcome wait(const std::shared_ptr<Outcome>& outcome);

  void stop_vm(bool stopped);      // as the monitor's stop and cont
  void start_vcpu(unsigned vcpu);  // INIT and SIPI
  unsigned add_vcpu();             // hot-plugged; its number
  bool suspend();                  // PREUNHOOK; false where nobody asked for UNHOOK
  void hang_up();                  // QEMU closes the socket, and connects again
  void go_away();                  // QEMU ends
  void fault(Fault fault);         // from now on
  void send_raw(const Bytes& bytes);

  [[nodiscard]] unsigned connections();
  [[nodiscard]] bool attached();
  // Until it is true, with a generous deadline. It is asked with the lock held: no calls of these.
  bool wait_until(const std::function<bool()>& condition,
                  std::chrono::milliseconds patience = std::chrono::seconds(30));
  bool wait_attached() {
    return wait_until([this] { return kernel_.has_value(); });
  }

  bool wait_detached() {
    return wait_until([this] { return !kernel_.has_value(); });
  }

  // Whatever the test wants to see or change, while the peer stands still.
  template <class Look>
  auto look(Look look_at) {
    const std::scoped_lock lock(mutex_);
    return look_at(guest_, record_);
  }
  template <class Look>
  auto look_at_kernel(Look look_at) {
    const std::scoped_lock lock(mutex_);
    return look_at(*kernel_);
  }
  // For the condition of wait_until(), while a connection stands.
  [[nodiscard]] Kernel& kernel_unlocked() { return *kernel_; }
  [[nodiscard]] Guest& guest_unlocked() { return guest_; }
  [[nodiscard]] bool attached_unlocked() const { return kernel_.has_value(); }
  [[nodiscard]] const Record& record_unlocked() { return record_; }
  [[nodiscard]] Bytes peek(std::uint64_t gpa, std::size_t size);
  void poke(std::uint64_t gpa, const Bytes& bytes);
  [[nodiscard]] unsigned count(Cmd cmd);
  [[nodiscard]] std::vector<std::string> leftovers();
  // The test expects these; they are not failures any more.
  [[nodiscard]] std::vector<std::string> take_violations();
  [[nodiscard]] std::string last_error();

 private:
  void serve(const std::stop_token& stop);
  void converse(int fd, const std::stop_token& stop);
  [[nodiscard]] bool shake_hands(int fd, const std::stop_token& stop);
  [[nodiscard]] bool exchange(int fd);
  [[nodiscard]] bool send_some(int fd);
  [[nodiscard]] int connect_once();
  void rest(std::chrono::milliseconds time) const;
  void wake() const;
  [[nodiscard]] bool over(const std::stop_token& stop) const;

  PeerOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Guest guest_;
  Record record_;
  std::optional<Kernel> kernel_;
  Bytes output_;
  unsigned connections_ = 0;
  bool hang_up_ = false;
  std::string error_;
  int wake_fd_ = -1;
  std::chrono::steady_clock::time_point end_;
  std::jthread thread_;
};

// The first bytes on the wire (section 2.1).
[[nodiscard]] Bytes handshake(const PeerOptions& options);

}  // namespace microvmi::test::kvmi
