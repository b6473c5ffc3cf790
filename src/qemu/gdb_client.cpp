// SPDX-License-Identifier: Apache-2.0
// Sending and receiving with deadlines; which packet is an answer and which a stop.
#include "qemu/gdb_client.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "qemu/qmp_peer.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;

// How soon a stop token is noticed, and a queue that is full tried again.
constexpr auto kSlice = 10ms;

// A guest that talks more than it is asked to is none.
constexpr std::size_t kMaxWaiting = 1024;

}  // namespace

std::unexpected<Error> about_stub(const Monitor& stub, Error error) {
  error.message =
      fmt::format("gdb stub {} of process {}: {}", to_text(stub.endpoint), stub.pid, error.message);
  return std::unexpected(std::move(error));
}

std::unexpected<Error> GdbClient::failed(Error error) const {
  return about_stub(stub_, std::move(error));
}

std::unexpected<Error> GdbClient::too_late(Errc over) const {
  return failed({over, over == Errc::cancelled ? "cancelled" : "no answer in time"});
}

Expected<GdbClient> GdbClient::connect(const Monitor& stub, const Wait& wait) {
  if (const auto user = user_of(stub))
    return about_stub(stub, {Errc::busy,
                             fmt::format("process {} ({:?}) uses it", user->pid, user->comm),
                             {},
                             "a stub serves one debugger at a time: end that one"});
  while (true) {
    auto socket = Socket::connect(stub.endpoint);
    if (socket) {
      GdbClient out(stub, *std::move(socket));
      if (auto done = out.await(POLLOUT, wait); !done) return std::unexpected(done.error());
      const auto stands = out.socket_.established();
      if (!stands) return about_stub(stub, stands.error());
      return out;
    }
    const Errc over = wait.over();
    if (socket.error().code != Errc::busy || over != Errc::none)
      return about_stub(stub, std::move(socket.error()));
    ::poll(nullptr, 0, static_cast<int>(kSlice.count()));
  }
}

Expected<void> GdbClient::check_peer() const {
  auto checked = qemu::check_peer(socket_.get(), stub_);
  return checked ? checked : failed(std::move(checked.error()));
}

Expected<void> GdbClient::await(short events, const Wait& wait) const {
  pollfd one{.fd = socket_.get(), .events = events, .revents = 0};
  while (true) {
    const auto now = Wait::Clock::now();
    auto left = std::max(Wait::Clock::duration::zero(), wait.deadline - now);
    if (wait.stop.stop_possible()) left = std::min<Wait::Clock::duration>(left, kSlice);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec patience{.tv_sec = seconds.count(),
                            .tv_nsec = std::chrono::nanoseconds(left - seconds).count()};
    const int ready = ::ppoll(&one, 1, &patience, nullptr);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR)
      return failed({Errc::io, fmt::format("cannot poll: {}", std::strerror(errno))});
    if (const Errc over = wait.over(); over != Errc::none) return too_late(over);
  }
}

Expected<void> GdbClient::send(std::string_view bytes, const Wait& wait) {
  while (!bytes.empty()) {
    const auto sent = socket_.send(bytes);
    if (!sent) return failed(sent.error());
    bytes.remove_prefix(*sent);
    if (*sent != 0 || bytes.empty()) continue;
    if (auto ready = await(POLLOUT, wait); !ready) return ready;
  }
  return {};
}

Expected<void> GdbClient::receive(const Wait& wait) {
  std::array<char, 8192> buffer;
  while (true) {
    const auto came = socket_.receive(buffer);
    if (!came) return failed(came.error());
    if (*came == 0) {
      if (auto ready = await(POLLIN, wait); !ready) return ready;
      continue;
    }
    auto packets = framer_.feed(std::string_view(buffer.data(), *came));
    if (!packets) return failed(packets.error());
    for (std::string& one : *packets) {
      const bool stop = is_gdb_stop(one) || one.starts_with('W') || one.starts_with('X');
      (stop ? stops_ : answers_).push_back(std::move(one));
    }
    if (answers_.size() + stops_.size() > kMaxWaiting)
      return failed({Errc::protocol, "it talks without being asked"});
    // What comes without end brings no packet.
    const Errc over = packets->empty() ? wait.over() : Errc::none;
    return over == Errc::none ? Expected<void>{} : too_late(over);
  }
}

Expected<std::string> GdbClient::answer(const Wait& wait) {
  while (answers_.empty())
    if (auto done = receive(wait); !done) return std::unexpected(std::move(done.error()));
  std::string answer = std::move(answers_.front());
  answers_.pop_front();
  return answer;
}

Expected<std::string> GdbClient::ask(std::string_view request, const Wait& wait) {
  answers_.clear();
  if (auto sent = send("+" + gdb_frame(request), wait); !sent)
    return std::unexpected(std::move(sent.error()));
  return answer(wait);
}

// A packet that begins abandons the wait for an acknowledgement (gdb_read_byte in gdbstub.c).
Expected<std::string> GdbClient::ask_after(std::string_view first, std::string_view second,
                                           const Wait& wait) {
  answers_.clear();
  if (auto sent = send("+" + gdb_frame(first) + "+" + gdb_frame(second), wait); !sent)
    return std::unexpected(std::move(sent.error()));
  return second_answer(first, wait);
}

Expected<std::string> GdbClient::ask_and_run(std::string_view first, std::string_view second,
                                             std::string_view run, const Wait& wait) {
  answers_.clear();
  const std::string both = "+" + gdb_frame(first) + "+" + gdb_frame(second);
  if (auto sent = send(both + "+" + gdb_frame(run), wait); !sent)
    return std::unexpected(std::move(sent.error()));
  return second_answer(first, wait);
}

Expected<std::string> GdbClient::second_answer(std::string_view first, const Wait& wait) {
  const auto one = answer(wait);
  auto two = one ? answer(wait) : one;
  if (!two) return two;
  if (auto good = is_ok(first, *one); !good) return std::unexpected(std::move(good.error()));
  return two;
}

Expected<void> GdbClient::command(std::string_view request, const Wait& wait) {
  const auto answer = ask(request, wait);
  return answer ? is_ok(request, *answer) : std::unexpected(answer.error());
}

Expected<void> GdbClient::is_ok(std::string_view request, const std::string& answer) const {
  if (answer == "OK") return {};
  if (answer.empty())
    return failed({Errc::not_supported, fmt::format("it does not know {:?}", request)});
  return failed({Errc::io, fmt::format("{:?} was answered by {:?}", request, answer)});
}

// The acknowledgement must not be sent alone: by then the guest may run.
Expected<void> GdbClient::run(std::string_view request) {
  return send("+" + gdb_frame(request), Wait::at_most(kSendTime));
}

Expected<void> GdbClient::interrupt() {
  return send("\x03", Wait::at_most(kSendTime));  // GDB manual, "Interrupts"
}

Expected<GdbStop> GdbClient::next_stop(const Wait& wait) {
  while (stops_.empty())
    if (auto done = receive(wait); !done) return std::unexpected(std::move(done.error()));
  const auto stop = parse_gdb_stop(stops_.front());
  stops_.pop_front();
  if (!stop) return failed(stop.error());
  return *stop;
}

}  // namespace microvmi::qemu
