// SPDX-License-Identifier: Apache-2.0
// GdbClient: packets over a connection to QEMU's gdb stub, each wait with a deadline.
//
// What QEMU's stub does beside the protocol (gdbstub.c of 7.2), and this client minds:
// - A connection stops the guest; a stop reply comes unasked if it ran, and none if it did not.
// - While the guest runs, any byte stops it, so nothing is ever sent then but interrupt().
// - It acknowledges packets and wants them acknowledged. The '+' goes in front of the next packet.
// - A connection that ends without a detach leaves the guest stopped and the breakpoints set.
//
// Threads: one at a time.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "microvmi/wait.hpp"
#include "qemu/gdb_packet.hpp"
#include "qemu/qmp.hpp"
#include "qemu/qmp_socket.hpp"

namespace microvmi::qemu {

// Sending takes no longer, for QEMU reads at once.
inline constexpr std::chrono::milliseconds kSendTime{2000};

class GdbClient {
 public:
  // Errc::busy where another debugger has the stub: a connection would wait, and stop the guest for
  // nobody once that one leaves.
  [[nodiscard]] static Expected<GdbClient> connect(const Monitor& stub, const Wait& wait);

  // Proves that the process is at the other end; after the first answer, for by then the connection
  // was accepted.
  [[nodiscard]] Expected<void> check_peer() const;

  // One request and its answer; an empty one is a request that the stub does not know. Stop
  // replies that come in between are kept for next_stop().
  [[nodiscard]] Expected<std::string> ask(std::string_view request, const Wait& wait);

  // Two requests in one go; the answer to the second, where the first was answered by "OK".
  [[nodiscard]] Expected<std::string> ask_after(std::string_view first, std::string_view second,
                                                const Wait& wait);

  // The same, with a request behind them that lets the guest run; it may run where they fail.
  [[nodiscard]] Expected<std::string> ask_and_run(std::string_view first, std::string_view second,
                                                  std::string_view run, const Wait& wait);

  // Asks for what is answered by "OK" alone.
  [[nodiscard]] Expected<void> command(std::string_view request, const Wait& wait);

  // Sends what lets the guest run: the next thing to come is a stop reply.
  [[nodiscard]] Expected<void> run(std::string_view request);

  // Stops a guest that runs; a stop reply follows. Does nothing where it is stopped.
  [[nodiscard]] Expected<void> interrupt();

  // timed_out, cancelled: it still runs, as far as the stub told.
  [[nodiscard]] Expected<GdbStop> next_stop(const Wait& wait);

  // A stop reply that came already.
  [[nodiscard]] bool has_stop() const { return !stops_.empty(); }

  [[nodiscard]] const Monitor& stub() const { return stub_; }

 private:
  GdbClient(Monitor stub, Socket socket) : stub_(std::move(stub)), socket_(std::move(socket)) {}

  [[nodiscard]] Expected<void> send(std::string_view bytes, const Wait& wait);
  [[nodiscard]] Expected<std::string> answer(const Wait& wait);
  [[nodiscard]] Expected<std::string> second_answer(std::string_view first, const Wait& wait);
  [[nodiscard]] Expected<void> is_ok(std::string_view request, const std::string& answer) const;
  [[nodiscard]] Expected<void> receive(const Wait& wait);
  [[nodiscard]] Expected<void> await(short events, const Wait& wait) const;
  [[nodiscard]] std::unexpected<Error> failed(Error error) const;
  [[nodiscard]] std::unexpected<Error> too_late(Errc over) const;

  Monitor stub_;
  Socket socket_;
  GdbFramer framer_;
  std::deque<std::string> answers_;
  std::deque<std::string> stops_;
};

// "gdb stub unix:/run/vm.gdb of process 17: " before the message.
[[nodiscard]] std::unexpected<Error> about_stub(const Monitor& stub, Error error);

}  // namespace microvmi::qemu
