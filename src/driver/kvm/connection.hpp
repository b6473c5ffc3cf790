// SPDX-License-Identifier: Apache-2.0
// Connection: commands, answers and events over one socket.
//
// One thread reads: it gives each answer to the request with its sequence number and hands on the
// events. Sending never blocks; what the socket does not take is sent by that thread. Whatever does
// not fit the protocol ends the connection, as nothing behind it could be believed.
//
// Threads: run() and post() from several at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "driver/kvm/codec.hpp"
#include "driver/kvm/native.hpp"
#include "microvmi/wait.hpp"

namespace microvmi::kvm {

// A command and, after run(), what was answered.
struct Request {
  Command command{};
  std::array<Given, 5> values{};
  std::uint8_t count = 0;
  ByteSpan tail{};              // sent behind the values
  std::span<std::byte> into{};  // filled with the answer's data; else that is put into `data`
  bool answered = false;
  std::int32_t code = 0;  // 0, or a negative number of the kernel
  Bytes data{};

  Request() = default;
  explicit Request(Command what, std::initializer_list<Given> given = {}) : command(what) {
    for (const Given& one : given) values[count++] = one;
  }
};

// An event with the bytes that it consists of.
struct ToldEvent {
  EventMessage message{};
  Bytes payload{};
};

class Connection {
 public:
  struct Listener {
    // Both are called by the reading thread. An error ends the connection.
    std::function<Expected<void>(std::unique_ptr<ToldEvent>)> on_event{};
    std::function<void(const Error&)> on_end{};
  };

  // How many requests of one run() may wait for their answers.
  static constexpr std::size_t kWindow = 64;

  [[nodiscard]] static Expected<std::unique_ptr<Connection>> start(host::Descriptor socket,
                                                                   Listener listener);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // v7 until it is known better.
  void speak(Dialect dialect) { dialect_ = dialect; }
  [[nodiscard]] Dialect dialect() const { return dialect_; }

  // How many are in flight at once; for measuring what that brings.
  void set_window(std::size_t window) { window_ = window; }

  // Until each has its answer, good or bad. An error is that of the connection or of the wait; the
  // requests say which of them were answered before.
  [[nodiscard]] Expected<void> run(std::span<Request> requests, const Wait& wait);

  // The same for one, whose answer has to be good.
  [[nodiscard]] Expected<Bytes> call(Request request, const Wait& wait);

  // Sends bytes that get no answer.
  [[nodiscard]] Expected<void> post(ByteSpan bytes);

  // Sends a command whose answer nobody waits for.
  [[nodiscard]] Expected<void> post(const Request& request);

  // Until everything is handed to the kernel, if it takes it in time.
  void drain(const Wait& wait);

  // Why it ended; nullopt while it stands.
  [[nodiscard]] std::optional<Error> end() const;

 private:
  struct Waiter;
  struct Pending {
    Request* request = nullptr;  // null where nobody waits any more
    Waiter* waiter = nullptr;
    std::uint16_t id = 0;
  };

  Connection(host::Descriptor socket, native::Wakeup wakeup, Listener listener);

  void read_all();
  void wait_for_socket();
  Expected<void> take_what_came();
  Expected<std::size_t> take_messages(ByteSpan bytes);
  Expected<void> take_answer(const Header& header, ByteSpan payload);
  Expected<void> take_event(const Header& header, ByteSpan payload);
  void fail_all(Error error);

  // With the lock held.
  std::uint32_t add(Bytes& out, const Request& request, Pending pending);
  void send_more(Waiter& waiter);
  void flush();
  void abandon(Waiter& waiter);

  const host::Descriptor socket_;
  const native::Wakeup wakeup_;
  const Listener listener_;
  std::atomic<Dialect> dialect_ = Dialect::v7;
  std::atomic<std::size_t> window_ = kWindow;
  std::atomic<bool> closing_ = false;

  // Of the reading thread: what was received and is no whole message yet.
  Bytes buffer_{};
  std::size_t filled_ = 0;

  mutable std::mutex mutex_{};
  std::unordered_map<std::uint32_t, Pending> pending_{};
  std::size_t abandoned_ = 0;
  std::uint32_t next_seq_ = 1;
  Bytes unsent_{};
  std::condition_variable_any drained_{};
  bool deaf_ = false;  // the peer takes nothing any more
  std::optional<Error> end_ = std::nullopt;
  std::thread reader_{};
};

// Whether this is answered by the vCPU itself, so not while QEMU has stopped the guest.
[[nodiscard]] bool is_for_vcpu(Command command);

}  // namespace microvmi::kvm
