// SPDX-License-Identifier: Apache-2.0
// The guard's side. It has one duty: whatever becomes of the program, the guest runs again.
#include "guard/serve.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "microvmi/guard.hpp"
#include "microvmi/init.hpp"
#include "qemu/gdb_repair.hpp"

namespace microvmi::guard {
namespace {

// How long the guest is tried to be resumed where that fails at first, as when another holds the
// monitor; and how often.
constexpr std::chrono::seconds kPersistence{60};
constexpr std::chrono::milliseconds kBetweenTries{100};

// How long QEMU has to take leave of a program that was killed: where it was carrying out a command
// of it, two of its threads do so at once (tcp_chr_disconnect_locked in chardev/char-socket.c of
// 7.2), and who is let in at that moment can crash it.
constexpr std::chrono::milliseconds kFarewell{50};

Message failed(const Error& error) {
  return {"failed", std::to_string(static_cast<unsigned>(error.code)), error.message, error.hint};
}

class Session {
 public:
  explicit Session(const Opener& open) : open_(open) {}

  Message answer(const Message& request) {
    if (request.empty()) return failed({.code = Errc::protocol, .message = "empty request"});
    if (request[0] == "ping") return {"ok"};
    if (request[0] == "open") return open(request);
    if (request[0] == "keep") return keep(request);
    if (request[0] == "forget") return forget();
    if (!control()) return failed({.code = Errc::busy, .message = "no guest is open"});
    if (request[0] == "pause") return pause();
    if (request[0] == "resume") return resume();
    if (request[0] == "running") return running();
    return failed({.code = Errc::protocol, .message = "unknown request"});
  }

  // Resumes what was stopped, however long the monitor is held by another.
  void end() {
    if (kept_ || stopped_) std::this_thread::sleep_for(kFarewell);
    const Wait wait = Wait::at_most(kPersistence);
    while (kept_ && wait.over() == Errc::none) {
      const auto done = qemu::repair(*kept_);
      if (done || done.error().code == Errc::disconnected) break;
      std::this_thread::sleep_for(kBetweenTries);
    }
    while (stopped_ && control() && wait.over() == Errc::none) {
      const auto done = control()->resume();
      if (done || done.error().code == Errc::disconnected) return;
      std::this_thread::sleep_for(kBetweenTries);
    }
  }

 private:
  [[nodiscard]] RunControl* control() { return vm_ ? vm_->driver().run_control() : nullptr; }

  Message open(const Message& request) {
    if (vm_ || request.size() < 4 || request.size() % 2 != 0)
      return failed({.code = Errc::protocol, .message = "wrong request to open"});
    const auto driver = param::Value<DriverType>::parse(request[1]);
    const auto timeout = param::parse_integer(request[2], 24UL * 60 * 60 * 1000);
    const auto pid = param::parse_integer(request[3], Pid(4'194'304).value());
    if (!driver || !timeout)
      return failed({.code = Errc::protocol, .message = "wrong request to open"});
    Subject subject{.driver = *driver};
    if (pid) subject.pid = static_cast<std::uint32_t>(*pid);
    for (std::size_t i = 4; i < request.size(); i += 2)
      subject.params.push_back({.key = request[i], .value = request[i + 1]});
    auto vm = open_(subject, Wait::at_most(std::chrono::milliseconds(*timeout)));
    if (!vm) return failed(vm.error());
    if (subject.pid && vm->info().pid != subject.pid)
      return failed({.code = Errc::not_found, .message = "the guest is no longer the same"});
    vm_.emplace(*std::move(vm));
    if (control()) return {"ok"};
    vm_.reset();
    return failed({.code = Errc::not_supported, .message = "the guest cannot be paused"});
  }

  Message keep(const Message& request) {
    auto plan = qemu::plan_of({request.begin() + 1, request.end()});
    if (!plan) return failed(plan.error());
    kept_ = *std::move(plan);
    return {"ok"};
  }

  Message forget() {
    kept_.reset();
    return {"ok"};
  }

  Message pause() {
    const auto running = control()->running();
    if (!running) return failed(running.error());
    if (!*running) return {"ok"};
    stopped_ = true;  // even where it fails: the guest may have stopped without saying so
    const auto done = control()->pause();
    return done ? Message{"ok"} : failed(done.error());
  }

  Message resume() {
    const auto done = control()->resume();
    if (!done) return failed(done.error());
    stopped_ = false;
    return {"ok"};
  }

  Message running() {
    const auto running = control()->running();
    return running ? Message{"ok", *running ? "yes" : "no"} : failed(running.error());
  }

  const Opener& open_;
  std::optional<Vm> vm_;
  std::optional<qemu::StubPlan> kept_;
  bool stopped_ = false;  // by us
};

void ignore_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM})
    static_cast<void>(std::signal(signal, SIG_IGN));
}

// By number, for glibc 2.36 has no wrapper; -1 where it cannot be had, and then the channel alone
// tells that the program is gone.
int watch(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// The same guest through the row of scan() that shows it, where the parameters alone could mean
// another one by now: "the first QEMU process".
Expected<Vm> open_for_real(const Subject& subject, const Wait& wait) {
  const InitOptions options{.wait = wait};
  auto vm = init(subject.driver, DriverParams(subject.params), options);
  if (vm && (!subject.pid || vm->info().pid == subject.pid)) return *std::move(vm);
  for (Found& found : scan({.wait = wait})) {
    if (found.driver != subject.driver || !subject.pid || found.pid != subject.pid) continue;
    auto same = init(subject.driver, DriverParams(std::move(found.params)), options);
    if (same && same->info().pid == subject.pid) return *std::move(same);
  }
  if (!vm) return std::unexpected<Error>(vm.error());
  return fail(Errc::not_found, "the guest is no longer the same");
}

}  // namespace

int serve(Channel channel, const Opener& open) {
  ignore_signals();
  const int program = watch(::getppid());
  if (const pid_t half = ::fork(); half != 0) ::_exit(half > 0 ? 0 : 1);
  if (!channel.send({std::string(kGreeting)})) return 1;
  Session session(open);
  while (true) {
    // A program that died while a child of its own still holds the channel is gone all the same.
    const std::array<int, 2> watched{channel.fd(), program};
    if (!wait_readable(std::span(watched).first(program < 0 ? 1 : 2), {})) break;
    const auto request = channel.receive(Wait::at_most(std::chrono::milliseconds(0)));
    if (!request || !channel.send(session.answer(*request))) break;
  }
  session.end();
  return 0;
}

}  // namespace microvmi::guard

namespace microvmi {

int serve_guard() { return guard::serve(guard::Channel(guard::kHelperFd), guard::open_for_real); }

}  // namespace microvmi
