// SPDX-License-Identifier: Apache-2.0
// Registers and breakpoints of a live guest against a bare client of its monitor and its gdb stub.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "benches.hpp"
#include "contest.hpp"
#include "microvmi/init.hpp"
#include "program.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::bench {
namespace {

constexpr const char* kQemu = "qemu-system-x86_64";
constexpr const char* kKernel = MICROVMI_TINY_GUEST;
// The guest's vCPUs want the same processors: many short rounds tell more than few long ones.
constexpr int kReads = 50;    // register reads in a round
constexpr int kEvents = 100;  // breakpoints in a round
constexpr std::size_t kRounds = 41;
constexpr double kRegsTarget = 1 / 1.15;
constexpr double kEventsTarget = 0.9;

// A blocking socket that does nothing but what it is told.
class Bare {
 public:
  explicit Bare(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    good_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  ~Bare() { ::close(fd_); }

  [[nodiscard]] bool good() const { return good_; }

  void send(std::string_view text) const {
    if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) < 0) give_up("a bare client");
  }

  // Up to the mark and so many bytes behind it.
  std::string until(std::string_view mark, std::size_t behind = 0) {
    std::size_t at = 0;
    while ((at = rest_.find(mark)) == std::string::npos ||
           rest_.size() < at + mark.size() + behind) {
      std::array<char, 65536> buffer;
      const ssize_t came = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (came <= 0) give_up("a bare client got no answer");
      rest_.append(buffer.data(), static_cast<std::size_t>(came));
    }
    std::string out = rest_.substr(0, at + mark.size() + behind);
    rest_.erase(0, out.size());
    return out;
  }

  void packet(std::string_view data) const {
    unsigned sum = 0;
    for (const char c : data) sum += static_cast<unsigned char>(c);
    std::array<char, 8> end{};
    std::snprintf(end.data(), end.size(), "#%02x", sum & 0xFFU);
    send("+$" + std::string(data) + end.data());
  }
  std::string answer() { return until("#", 2); }

 private:
  int fd_;
  bool good_ = false;
  std::string rest_;
};

class LiveGuest {
 public:
  LiveGuest()
      : program_({kQemu,      "-accel",
                  "tcg",      "-machine",
                  "q35",      "-m",
                  "64",       "-nodefaults",
                  "-display", "none",
                  "-smp",     "4",
                  "-kernel",  kKernel,
                  "-append",  "seed=1 stride=16",
                  "-serial",  "file:" + path("serial"),
                  "-qmp",     "unix:" + path("qmp") + ",server=on,wait=off",
                  "-gdb",     "unix:" + path("gdb") + ",server=on,wait=off"}) {
    for (int i = 0; i < 2000 && loop_ == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      look();
    }
    if (loop_ == 0) give_up("the tiny guest did not start");
    auto vm = init(
        DriverType::qemu,
        DriverInitParams{
            .qemu = QemuInitParams{.pid = *Pid::of(static_cast<std::uint32_t>(program_.pid()))}});
    if (!vm) give_up(vm.error().message);
    vm_.emplace(*std::move(vm));
  }
  LiveGuest(const LiveGuest&) = delete;
  LiveGuest& operator=(const LiveGuest&) = delete;
  ~LiveGuest() = default;

  [[nodiscard]] std::string path(const char* name) const {
    return (folder_.path() / name).string();
  }

  void read_registers() {
    for (int i = 0; i < kReads; ++i) {
      const auto all = vm_->read_all_registers();
      if (!all || all->size() != 4) give_up(all ? "not four vCPUs" : to_text(all.error()));
    }
  }

  void ask_barely() const {
    for (int i = 0; i < kReads; ++i) {
      Bare monitor(path("qmp"));
      if (!monitor.good()) give_up("cannot connect to the monitor");
      monitor.until("\n");
      monitor.send(
          "{\"execute\":\"qmp_capabilities\"}\n"
          "{\"execute\":\"human-monitor-command\",\"arguments\":"
          "{\"command-line\":\"info registers -a\"},\"id\":1}\n");
      monitor.until("\"id\": 1}");
    }
  }

  void take_events() {
    const Intercept here = Breakpoint::Filter{Gva{loop_}};
    if (auto asked = vm_->intercept(kEveryVcpu, here); !asked) give_up(to_text(asked.error()));
    for (int i = 0; i < kEvents; ++i)
      if (auto event = vm_->next_event(Wait::at_most(std::chrono::seconds(20))); !event)
        give_up(to_text(event.error()));
    if (auto done = vm_->release(kEveryVcpu, here); !done) give_up(to_text(done.error()));
  }

  // What any client has to do: stop, whose registers, over the instruction, on.
  void break_barely() const {
    Bare stub(path("gdb"));
    if (!stub.good()) give_up("cannot connect to the gdb stub");
    stub.answer();
    std::ostringstream address;
    address << std::hex << loop_ << ",1";
    stub.packet("Z0," + address.str());
    stub.answer();
    stub.packet("vCont;c");
    for (int i = 0; i < kEvents; ++i) {
      stub.answer();
      stub.packet("g");
      stub.answer();
      stub.packet("vCont;s:1");
      stub.answer();
      if (i + 1 < kEvents) stub.packet("vCont;c");
    }
    stub.packet("z0," + address.str());
    stub.answer();
    stub.packet("D");
    stub.answer();
  }

 private:
  void look() {
    std::ifstream serial(path("serial"));
    std::uint64_t loop = 0;
    for (std::string line; std::getline(serial, line);) {
      if (line.starts_with("loop ")) loop = std::strtoull(line.c_str() + 5, nullptr, 0);
      if (line.starts_with("ready")) loop_ = loop;
    }
  }

  test::TempFolder folder_;  // goes after the program
  Program program_;
  std::uint64_t loop_ = 0;
  std::optional<Vm> vm_;
};

// Started by the first round and gone after the last one.
std::unique_ptr<LiveGuest>& guest() {
  static std::unique_ptr<LiveGuest> one;
  return one;
}

void add_race(const char* name, double target, void (LiveGuest::*ours)(),
              void (LiveGuest::*limit)() const) {
  add(Race{.name = name,
           .target = target,
           .rounds = kRounds,
           .prepare =
               [] {
                 if (!guest()) guest() = std::make_unique<LiveGuest>();
               },
           .ours = [ours] { ((*guest()).*ours)(); },
           .limit = [limit] { ((*guest()).*limit)(); },
           .finish = [] { guest().reset(); }});
}

}  // namespace

void add_vcpu_races() {
  if (!is_in_path(kQemu) || !std::filesystem::exists(kKernel)) {
    std::printf("vcpu/*: skipped, %s is not in PATH or the tiny guest is not built\n", kQemu);
    return;
  }
  add_race("vcpu/registers/4", kRegsTarget, &LiveGuest::read_registers, &LiveGuest::ask_barely);
  add_race("vcpu/breakpoints", kEventsTarget, &LiveGuest::take_events, &LiveGuest::break_barely);
}

}  // namespace microvmi::bench
