// SPDX-License-Identifier: Apache-2.0
// Listening, and the handshakes of those that connect, several at a time.
#include "driver/kvm/endpoint.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include "qemu/find.hpp"

namespace microvmi::kvm {

using namespace std::chrono_literals;

namespace {

// So many may be in the middle of their handshake; the others wait to be accepted.
constexpr std::size_t kMostClients = 16;

// QEMU sends its handshake at once and gives up after 10 s itself.
constexpr auto kHandshakeTime = 5s;

// Until a stop token is heard at the latest; it wakes the poll too.
constexpr auto kLongestPoll = 1h;

int poll_time(Wait::Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      std::min<Wait::Clock::duration>(until - Wait::Clock::now(), kLongestPoll));
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

// The guest's name is its owner's to choose: in one line.
std::string shown(const Greeting& greeting) {
  return fmt::format("'{}' ({})", qemu::in_one_line(greeting.name), uuid_text(greeting));
}

std::string seconds(const Wait& wait) {
  if (wait.deadline == Wait::Clock::time_point::max()) return "without limit";
  const auto left =
      std::chrono::round<std::chrono::milliseconds>(wait.deadline - Wait::Clock::now());
  return left >= 1s ? fmt::format("{} s at most", (left.count() + 500) / 1000)
                    : fmt::format("{} ms at most", left.count());
}

}  // namespace

// One accept(): who came, who is still talking, who was sent away.
class Reception {
 public:
  Reception(const Endpoint& endpoint, const Expectation& expected, const LogSink& log)
      : endpoint_(endpoint), expected_(expected), log_(log) {}

  Expected<Arrival> run(const Wait& wait) {
    auto wakeup = native::Wakeup::make();
    if (!wakeup) return std::unexpected(std::move(wakeup.error()));
    const std::stop_callback on_stop(wait.stop, [&wakeup] { wakeup->signal(); });
    while (wait.over() == Errc::none) {
      poll(*wakeup, wait.deadline);
      if (auto done = greet_new(); !done) return std::unexpected(std::move(done.error()));
      if (auto arrival = talk()) return *std::move(arrival);
    }
    return std::unexpected(nobody(wait.over()));
  }

 private:
  struct Client {
    host::Descriptor socket;
    std::optional<std::uint32_t> pid;
    GreetingReader reader{};
    Wait::Clock::time_point deadline{};
  };

  void say(const std::string& line) const {
    if (log_) log_(line);
  }

  void poll(const native::Wakeup& wakeup, Wait::Clock::time_point deadline) {
    std::vector<pollfd> all{{.fd = wakeup.get(), .events = POLLIN, .revents = 0}};
    if (clients_.size() < kMostClients)
      all.push_back({.fd = endpoint_.socket_.get(), .events = POLLIN, .revents = 0});
    for (const Client& client : clients_) {
      all.push_back({.fd = client.socket.get(), .events = POLLIN, .revents = 0});
      deadline = std::min(deadline, client.deadline);
    }
    ::poll(all.data(), all.size(), poll_time(deadline));
  }

  // So many at a time, for those who are sent away may come again without end.
  Expected<void> greet_new() {
    for (std::size_t i = 0; i < kMostClients && clients_.size() < kMostClients; ++i) {
      auto socket = native::accept(endpoint_.socket_.get());
      if (!socket) return std::unexpected(std::move(socket.error()));
      std::optional<host::Descriptor> fd = *std::move(socket);
      if (!fd) break;
      auto pid = endpoint_.admit(fd->get());
      if (!pid)
        send_away(pid.error().message);
      else
        clients_.push_back({.socket = *std::move(fd),
                            .pid = *pid,
                            .deadline = Wait::Clock::now() + kHandshakeTime});
    }
    return {};
  }

  void send_away(const std::string& reason) {
    last_reason_ = reason;
    say(fmt::format("sent away who connected to {}: {}", endpoint_.name(), reason));
  }

  // Lets each of them go on; the first that is the guest wanted is taken.
  std::optional<Arrival> talk() {
    for (auto client = clients_.begin(); client != clients_.end();) {
      const auto complete = hear(*client);
      if (complete && !*complete) {
        ++client;
        continue;
      }
      if (complete) {
        if (auto arrival = judge(*client)) return arrival;
      } else {
        send_away(complete.error().message);
      }
      client = clients_.erase(client);
    }
    return std::nullopt;
  }

  // Whether its greeting is complete.
  static Expected<bool> hear(Client& client) {
    std::array<std::byte, 4096> buffer{};
    while (const std::size_t wanted = client.reader.wanted()) {
      const auto came = native::receive(client.socket.get(),
                                        std::span(buffer).first(std::min(wanted, buffer.size())));
      if (!came) return fail(Errc::disconnected, "it hung up in the middle of its handshake");
      if (*came == 0) {
        if (Wait::Clock::now() < client.deadline) return false;
        return fail(Errc::timed_out, fmt::format("no handshake within {} s", kHandshakeTime / 1s));
      }
      if (auto done = client.reader.take(std::span(buffer).first(*came)); !done)
        return std::unexpected(std::move(done.error()));
    }
    return true;
  }

  std::optional<Arrival> judge(Client& client) {
    const Greeting greeting = client.reader.result();
    if (expected_.vm_name && greeting.name != *expected_.vm_name) {
      others_.insert(shown(greeting));
      send_away(fmt::format("it is guest {}", shown(greeting)));
      return std::nullopt;
    }
    const Bytes answer = greeting_answer(expected_.cookie);
    const auto sent = native::send(client.socket.get(), answer);
    if (!sent || *sent != answer.size()) {
      send_away("it did not take the answer to its handshake");
      return std::nullopt;
    }
    say(fmt::format("guest {} connected to {}", shown(greeting), endpoint_.name()));
    return Arrival{std::move(client.socket), greeting, client.pid};
  }

  [[nodiscard]] Error nobody(Errc over) const {
    const std::string& where = endpoint_.name();
    if (over == Errc::cancelled)
      return {over, fmt::format("waiting for QEMU to connect to {} was cancelled", where)};
    if (!others_.empty()) {
      std::string list;
      for (const std::string& one : others_) list += (list.empty() ? "" : ", ") + one;
      return {Errc::not_found,
              fmt::format("no guest '{}' connected to {} in time; those that did: {}",
                          *expected_.vm_name, where, list),
              {},
              "a guest is told by QEMU's -name"};
    }
    std::string text = fmt::format("QEMU did not connect to {} in time", where);
    if (!last_reason_.empty()) text += "; who did was sent away: " + last_reason_;
    return {over,
            text,
            {},
            "QEMU needs the KVMi patches, -chardev socket,...,reconnect=N with this address, and "
            "-object introspection; kvm.timeout has to be longer than N"};
  }

  const Endpoint& endpoint_;
  const Expectation& expected_;
  const LogSink& log_;
  std::vector<Client> clients_{};
  std::set<std::string> others_{};
  std::string last_reason_{};
};

Expected<Endpoint> Endpoint::listen(const KvmInitParams& params) {
  Endpoint out;
  if (const auto* vsock = std::get_if<VSock>(&*params.transport)) {
    auto socket = native::listen_vsock(*vsock->port);
    if (!socket) return std::unexpected(std::move(socket.error()));
    out.socket_ = *std::move(socket);
    out.cid_ = vsock->peer_cid.value_or(native::kHostCid);
    out.name_ = fmt::format("vsock port {}", *vsock->port);
    return out;
  }
  const auto& unix_socket = std::get<UnixSocket>(*params.transport);
  auto listener = native::listen_unix(*unix_socket.path, unix_socket.group);
  if (!listener) return std::unexpected(std::move(listener.error()));
  out.name_ = listener->file.path;
  out.socket_ = std::move(listener->socket);
  out.file_ = std::move(listener->file);
  out.group_ = listener->group;
  return out;
}

Endpoint::~Endpoint() {
  if (socket_ && file_) native::remove(*file_);
}

Expected<std::optional<std::uint32_t>> Endpoint::admit(int socket) const {
  if (cid_) {
    const auto cid = native::cid_of(socket);
    if (!cid) return std::unexpected(cid.error());
    if (*cid == *cid_) return std::nullopt;
    return fail(Errc::permission_denied,
                fmt::format("its context id is {}, and {} is expected", *cid, *cid_));
  }
  const auto peer = native::credentials_of(socket);
  if (!peer) return std::unexpected(peer.error());
  const bool by_group = group_ && std::ranges::find(peer->groups, *group_) != peer->groups.end();
  if (peer->uid == 0 || peer->uid == native::own_uid() || by_group) return peer->pid;
  return fail(Errc::permission_denied,
              fmt::format("process {} belongs to user {}", peer->pid, peer->uid));
}

Expected<Arrival> Endpoint::accept(const Expectation& expected, const Wait& wait,
                                   const LogSink& log) const {
  if (log) log(fmt::format("waiting for QEMU to connect to {}, {}", name_, seconds(wait)));
  return Reception(*this, expected, log).run(wait);
}

}  // namespace microvmi::kvm
