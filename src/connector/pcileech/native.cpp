// SPDX-License-Identifier: Apache-2.0
// The helper over sockets, a pipe and sealed shared memory.
#include "connector/pcileech/native.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "host/linux/helper_program.hpp"

namespace microvmi::pcileech_connector {
namespace {

using host::Descriptor;
using std::chrono::milliseconds;

// A stop token cannot be polled for, so that waits look at it this often.
constexpr milliseconds kGlance{50};

// For closing a device, and for the supervisor to end what does not.
constexpr milliseconds kGrace{1000};

Expected<std::array<Descriptor, 2>> socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return host::system_failure(errno, "cannot make a socket pair");
  return std::array{Descriptor(ends[0]), Descriptor(ends[1])};
}

Expected<std::array<Descriptor, 2>> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return host::system_failure(errno, "cannot make a pipe");
  std::array out{Descriptor(ends[0]), Descriptor(ends[1])};
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
    return host::system_failure(errno, "cannot set up a pipe");
  return out;
}

std::string how_it_ended(std::optional<int> status) {
  if (!status) return "ended, nobody knows how";
  if (WIFSIGNALED(*status)) return fmt::format("was ended by {}", ::strsignal(WTERMSIG(*status)));
  return fmt::format("ended with exit status {}", WEXITSTATUS(*status));
}

}  // namespace

Expected<std::unique_ptr<Helper>> Helper::start(const Wait& wait) {
  std::unique_ptr<Helper> out(new Helper());
  if (auto done = out->share(); !done) return std::unexpected(done.error());
  if (auto done = out->launch(wait); !done) return std::unexpected(done.error());
  auto hello = out->call({.op = Op::hello}, wait);
  if (!hello) return std::unexpected(hello.error());
  if (hello->result == Result::ok && hello->first == kProtocolVersion) return out;
  return fail(Errc::protocol,
              fmt::format("{} is of another version than the library", kHelperName));
}

// Sealed, so that the helper cannot take pages away that we touch.
Expected<void> Helper::share() {
  memory_ = Descriptor(::memfd_create(kHelperName, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory_ || ::ftruncate(memory_.get(), sizeof(Shared)) != 0 ||
      ::fcntl(memory_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return host::system_failure(errno, "cannot make memory to share with LeechCore's helper");
  void* mapped =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (mapped == MAP_FAILED)
    return host::system_failure(errno, "cannot map the memory of LeechCore's helper");
  shared_ = static_cast<Shared*>(mapped);
  return {};
}

Expected<void> Helper::launch(const Wait& wait) {
  auto program = host::find_helper(kHelperName);
  if (!program) {
    program.error().hint = "install it beside the library, as the build does";
    return std::unexpected(program.error());
  }
  auto calls = socket_pair();
  if (!calls) return std::unexpected(calls.error());
  auto life = socket_pair();
  if (!life) return std::unexpected(life.error());
  auto printed = make_pipe();
  if (!printed) return std::unexpected(printed.error());
  std::array<int, kSharedFd + 1> descriptors{};
  descriptors.fill(-1);  // standard input among them: there is nobody to be asked
  descriptors[STDOUT_FILENO] = descriptors[STDERR_FILENO] = (*printed)[1].get();
  descriptors[kCallFd] = (*calls)[1].get();
  descriptors[kLifeFd] = (*life)[1].get();
  descriptors[kSharedFd] = memory_.get();
  const auto pid = host::start_helper(*program, descriptors);
  if (!pid) return std::unexpected(pid.error());
  host::reap_helper(*pid, wait.within(std::chrono::seconds(10)));
  calls_ = std::move((*calls)[0]);
  life_ = std::move((*life)[0]);
  printed_ = std::move((*printed)[0]);
  return {};
}

Expected<void> Helper::send(const Message& call) {
  if (why_) return fail(Errc::disconnected, *why_);
  ssize_t sent = 0;
  do sent = ::send(calls_.get(), &call, sizeof call, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent != sizeof call) return gone(Errc::disconnected, {});
  return {};
}

Expected<Message> Helper::receive(const Wait& wait) {
  if (why_) return fail(Errc::disconnected, *why_);
  while (true) {
    poll(wait, true);
    drain();
    if (auto answer = take_answer()) return *answer;
    if (hung_up_ || take_end()) return gone(Errc::disconnected, {});
    if (const Errc over = wait.over(); over != Errc::none)
      return gone(over, over == Errc::cancelled
                            ? "LeechCore's helper was ended, for the call was cancelled"
                            : "LeechCore did not come back in time, so that its helper was ended");
  }
}

Expected<Message> Helper::call(const Message& message, const Wait& wait) {
  if (auto sent = send(message); !sent) return std::unexpected(sent.error());
  return receive(wait);
}

void Helper::poll(const Wait& wait, bool answers) {
  const auto left = std::chrono::ceil<milliseconds>(
      std::max(wait.deadline - Wait::Clock::now(), Wait::Clock::duration{}));
  std::array<pollfd, 3> watched{pollfd{answers ? calls_.get() : -1, POLLIN, 0},
                                pollfd{life_.get(), POLLIN, 0}, pollfd{printed_.get(), POLLIN, 0}};
  ::poll(watched.data(), watched.size(), static_cast<int>(std::min(left, kGlance).count()));
}

void Helper::drain() {
  std::array<char, 4096> bytes{};
  constexpr int kMostAtOnce = 64;  // one that prints without an end must not keep us from the clock
  for (int i = 0; printed_ && i < kMostAtOnce; ++i) {
    const ssize_t size = ::read(printed_.get(), bytes.data(), bytes.size());
    if (size == 0) printed_ = Descriptor();
    if (size <= 0) return;
    output_.add({bytes.data(), static_cast<std::size_t>(size)});
  }
}

std::optional<Message> Helper::take_answer() {
  Message answer;
  const ssize_t size = ::recv(calls_.get(), &answer, sizeof answer, MSG_DONTWAIT | MSG_TRUNC);
  if (size == sizeof answer) return answer;
  hung_up_ = hung_up_ || size >= 0 || (errno != EAGAIN && errno != EINTR);
  return std::nullopt;
}

bool Helper::take_end() {
  Ended ended;
  const ssize_t size = ::recv(life_.get(), &ended, sizeof ended, MSG_DONTWAIT);
  if (size == sizeof ended) status_ = ended.status;
  return size >= 0 || (errno != EAGAIN && errno != EINTR);
}

std::unexpected<Error> Helper::gone(Errc code, std::string why) {
  const bool by_itself = why.empty();
  end();
  if (by_itself) why = "LeechCore's helper " + how_it_ended(status_);
  why_ = why;
  return fail(code, std::move(why), {}, "open the guest again");
}

// Its supervisor ends it and tells its status.
void Helper::end() {
  ::shutdown(life_.get(), SHUT_WR);
  const Wait wait = Wait::at_most(kGrace);
  while (!status_ && !take_end() && wait.over() == Errc::none) poll(wait, false);
  drain();
}

Helper::~Helper() {
  if (calls_ && !why_) {
    ::shutdown(calls_.get(), SHUT_WR);
    const Wait wait = Wait::at_most(kGrace);
    while (!take_end() && wait.over() == Errc::none) {
      poll(wait, false);
      drain();
    }
  }
  if (life_ && !status_) end();
  if (shared_) ::munmap(shared_, sizeof(Shared));
}

}  // namespace microvmi::pcileech_connector
