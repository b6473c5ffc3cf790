// SPDX-License-Identifier: Apache-2.0
// The thread that reads, against bytes that the test writes into the other end of a socket pair.
#include "driver/kvm/connection.hpp"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "unit/driver/kvm/bytes.hpp"

namespace microvmi::kvm {
namespace {

using namespace std::chrono_literals;
using test::hex;
using test::put;
using test::operator+;

constexpr auto kPatience = 30s;

// The kernel's end: whole messages in, bytes out.
class Kernel {
 public:
  explicit Kernel(int fd) : fd_(fd) {}

  void send(const Bytes& bytes) const {
    EXPECT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  // The next message of the tool; empty at the end of the connection.
  Bytes receive() {
    Bytes out = take(kHeaderSize);
    if (out.empty()) return out;
    const Bytes payload = take(parse_header(out).size);
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
  }

  // An answer to it, with this data.
  static Bytes answer(const Bytes& message, const Bytes& data, std::int32_t code = 0) {
    Bytes out(message.begin(), message.begin() + 8);
    put(out, 2, 2, kErrorSize + data.size());
    put(out, 8, 8, static_cast<std::uint32_t>(code));
    out.insert(out.end(), data.begin(), data.end());
    return out;
  }

  void hang_up() { fd_ = host::Descriptor(); }

 private:
  Bytes take(std::size_t size) {
    Bytes out(size);
    std::size_t done = 0;
    while (done < size) {
      const ssize_t came = ::recv(fd_.get(), out.data() + done, size - done, 0);
      if (came <= 0) return {};
      done += static_cast<std::size_t>(came);
    }
    return out;
  }

  host::Descriptor fd_;
};

class KvmiConnection : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const timeval patience{.tv_sec = 30, .tv_usec = 0};
    ASSERT_EQ(::setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    kernel_.emplace(ends[1]);
    auto connection =
        Connection::start(host::Descriptor(ends[0]),
                          {.on_event = [this](std::unique_ptr<ToldEvent> told) -> Expected<void> {
                             const std::lock_guard lock(mutex_);
                             events_.push_back(std::move(told));
                             changed_.notify_all();
                             return {};
                           },
                           .on_end = {}});
    ASSERT_TRUE(connection);
    connection_ = *std::move(connection);
  }

  // Asks for the vCPU count and has the kernel answer with these bytes instead.
  Errc ask(const std::function<Bytes(const Bytes&)>& answer) {
    const std::jthread kernel([&] {
      const Bytes message = kernel_->receive();
      if (!message.empty()) kernel_->send(answer(message));
    });
    const auto done = connection_->call(Request(Command::get_info), Wait::at_most(kPatience));
    return done ? Errc::none : done.error().code;
  }

  std::optional<Kernel> kernel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<ToldEvent>> events_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(KvmiConnection, AnswersInAnyOrderGoToTheirCommands) {
  constexpr std::size_t kCount = 200;  // more than may be on their way at once
  const std::jthread kernel([&] {
    for (std::size_t i = 0; i < kCount / 2; ++i) {
      const Bytes first = kernel_->receive();
      const Bytes second = kernel_->receive();
      for (const Bytes& one : {second, first})
        kernel_->send(Kernel::answer(one, Bytes(one.begin() + 8, one.begin() + 16)));
    }
  });
  std::vector<Request> requests;
  for (std::size_t i = 0; i < kCount; ++i)
    requests.emplace_back(Command::read_physical,
                          std::initializer_list<Given>{{Field::gpa, 0x1000 * i}});
  std::vector<std::array<std::byte, 8>> into(kCount);
  for (std::size_t i = 0; i < kCount; ++i) requests[i].into = into[i];
  const auto done = connection_->run(requests, Wait::at_most(kPatience));
  ASSERT_TRUE(done) << to_text(done.error());
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(load(into[i], 0, 8), 0x1000 * i);
}

TEST_F(KvmiConnection, ABadAnswerIsThatCommandsAlone) {
  EXPECT_EQ(ask([](const Bytes& m) { return Kernel::answer(m, {}, -ENOENT); }), Errc::not_found);
  EXPECT_EQ(ask([](const Bytes& m) { return Kernel::answer(m, Bytes(16)); }), Errc::none);
  EXPECT_EQ(connection_->end(), std::nullopt);
}

TEST_F(KvmiConnection, AMessageByteByByteIsOne) {
  const std::jthread kernel([&] {
    for (const std::byte one : Kernel::answer(kernel_->receive(), Bytes(16))) kernel_->send({one});
  });
  EXPECT_TRUE(connection_->call(Request(Command::get_info), Wait::at_most(kPatience)));
}

TEST_F(KvmiConnection, WhatDoesNotFitEndsTheConnection) {
  const std::vector<std::function<Bytes(const Bytes&)>> all{
      [](Bytes m) { return put(m, 4, 4, 77), Kernel::answer(m, Bytes(16)); },  // wrong seq
      [](Bytes m) { return put(m, 0, 2, 29), Kernel::answer(m, Bytes(16)); },  // wrong id
      [](const Bytes& m) {
        return hex("0500 0400") + Bytes(m.begin() + 4, m.begin() + 8) + Bytes(4);
      },
      [](const Bytes& m) { return hex("0500 f91f") + Bytes(m.begin() + 4, m.begin() + 8); }};
  for (const auto& answer : all) {
    EXPECT_EQ(ask(answer), Errc::protocol);
    EXPECT_TRUE(kernel_->receive().empty()) << "the kernel sees the end";
    EXPECT_EQ(connection_->call(Request(Command::get_info), Wait::at_most(kPatience)).error().code,
              Errc::protocol)
        << "and it stays so";
    connection_.reset();
    SetUp();
  }
}

TEST_F(KvmiConnection, TheSameAnswerTwiceEndsIt) {
  EXPECT_EQ(ask([](const Bytes& m) {
              return Kernel::answer(m, Bytes(16)) + Kernel::answer(m, Bytes(16));
            }),
            Errc::none);
  EXPECT_TRUE(kernel_->receive().empty());
  EXPECT_EQ(connection_->end()->code, Errc::protocol);
}

TEST_F(KvmiConnection, HangingUpIsADetachedGuest) {
  std::jthread kernel([&] {
    kernel_->receive();
    kernel_->hang_up();
  });
  const auto done = connection_->call(Request(Command::get_info), Wait::at_most(kPatience));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::disconnected);
  EXPECT_THAT(done.error().message, testing::HasSubstr("the guest was detached"));
}

TEST_F(KvmiConnection, ALateAnswerIsThrownAway) {
  const Request slow(Command::get_registers, {{Field::vcpu, 0}});
  const auto late = connection_->call(slow, Wait::at_most(10ms));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timed_out);
  EXPECT_THAT(late.error().hint, testing::HasSubstr("QEMU may have stopped"));
  const Bytes unanswered = kernel_->receive();
  EXPECT_EQ(ask([&](const Bytes& m) {
              return Kernel::answer(unanswered, Bytes(472)) + Kernel::answer(m, Bytes(16));
            }),
            Errc::none);
}

TEST_F(KvmiConnection, AStopEndsTheWait) {
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  const auto done = connection_->call(Request(Command::get_info), Wait{.stop = stop.get_token()});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::cancelled);
}

TEST_F(KvmiConnection, AnEventBeforeAnAnswerIsHandedOn) {
  Bytes event(8 + 544);
  put(event, 0, 2, 1);
  put(event, 2, 2, 544);
  put(event, 4, 4, 9);
  put(event, 8, 2, 544);
  put(event, 10, 2, 3);
  put(event, 12, 1, 10);  // a pause
  EXPECT_EQ(ask([&](const Bytes& m) { return event + Kernel::answer(m, Bytes(16)); }), Errc::none);
  std::unique_lock lock(mutex_);
  ASSERT_TRUE(changed_.wait_for(lock, kPatience, [&] { return !events_.empty(); }));
  EXPECT_EQ(events_[0]->message.kind, EventKind::pause_vcpu);
  EXPECT_EQ(events_[0]->message.vcpu, 3U);
  EXPECT_EQ(events_[0]->message.seq, 9U);
}

TEST_F(KvmiConnection, WhatTheSocketDoesNotTakeIsSentLater) {
  // More than any socket buffer holds, to a kernel that reads nothing yet.
  const Bytes page(4096, std::byte{0x5a});
  std::vector<Request> requests(Connection::kWindow, Request(Command::write_physical));
  for (Request& one : requests) one.tail = page;
  connection_->set_window(requests.size());
  std::atomic<unsigned> seen = 0;
  const std::jthread kernel([&] {
    std::vector<Bytes> all;
    while (all.size() < requests.size()) all.push_back(kernel_->receive());
    for (const Bytes& one : all) {
      seen += one.size() == 8 + 16 + page.size() ? 1U : 0U;
      kernel_->send(Kernel::answer(one, {}));
    }
  });
  EXPECT_TRUE(connection_->run(requests, Wait::at_most(kPatience)));
  EXPECT_EQ(seen, requests.size());
}

TEST_F(KvmiConnection, WhatADialectDoesNotHaveIsNotAsked) {
  connection_->speak(Dialect::v12);
  const auto done = connection_->call(Request(Command::get_max_gfn), Wait::at_most(kPatience));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::not_supported);
  EXPECT_EQ(done.error().message, "KVMi v12 has no get_max_gfn");
}

}  // namespace
}  // namespace microvmi::kvm
