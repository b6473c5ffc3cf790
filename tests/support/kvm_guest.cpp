// SPDX-License-Identifier: Apache-2.0
// Starting kvm_vmm and talking to it over a socket that is its stdin and stdout.
#include "support/kvm_guest.hpp"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

extern char** environ;

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 30s;

std::string in_words(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

}  // namespace

std::string why_no_kvm() {
  const int system = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (system < 0) return in_words("cannot open /dev/kvm");
  const int vm = ::ioctl(system, KVM_CREATE_VM, 0);
  const std::string why_not = vm < 0 ? in_words("KVM_CREATE_VM") : "";
  if (vm >= 0) ::close(vm);
  ::close(system);
  return why_not;
}

std::string why_no_slots() {
  if (std::string none = why_no_kvm(); !none.empty()) return none;
  if (::geteuid() != 0) return "only root may load the BPF program";
  if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return "the kernel has no BTF";
  return {};
}

KvmGuest::Start KvmGuest::start(std::vector<std::string> args) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return std::unexpected(in_words("socketpair"));
  std::string program = MICROVMI_KVM_VMM;
  std::vector<char*> argv{program.data()};
  for (std::string& one : args) argv.push_back(one.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, ends[1], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), &files, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return std::unexpected(program + ": " + std::strerror(error));
  }
  std::unique_ptr<KvmGuest> guest(new KvmGuest(pid, ends[0]));
  auto truth = guest->answer();
  if (!truth) return std::unexpected(truth.error());
  guest->truth_ = *std::move(truth);
  return guest;
}

KvmGuest::~KvmGuest() {
  kill();
  ::close(channel_);
}

void KvmGuest::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

Outcome<void> KvmGuest::receive() const {
  pollfd entry{.fd = channel_, .events = POLLIN, .revents = 0};
  int ready = 0;
  do ready = ::poll(&entry, 1, static_cast<int>(kPatience / 1ms));
  while (ready < 0 && errno == EINTR);
  if (ready <= 0) return std::unexpected("the VMM does not answer");
  std::array<char, 65536> part;
  const ssize_t got = ::read(channel_, part.data(), part.size());
  if (got <= 0) return std::unexpected("the VMM has ended");
  received_.append(part.data(), static_cast<std::size_t>(got));
  return {};
}

Outcome<nlohmann::json> KvmGuest::answer() const {
  std::size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos)
    if (auto done = receive(); !done) return std::unexpected(done.error());
  auto parsed = nlohmann::json::parse(received_.substr(0, end), nullptr, false);
  received_.erase(0, end + 1);
  if (parsed.is_discarded()) return std::unexpected("the VMM said no JSON");
  return parsed;
}

Outcome<nlohmann::json> KvmGuest::ask(const std::string& command) const {
  const std::string line = command + "\n";
  if (::send(channel_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return std::unexpected(in_words("the VMM"));
  return answer();
}

Outcome<std::vector<MemoryRegion>> KvmGuest::memory_map() const {
  const auto now = ask("slots");
  if (!now) return std::unexpected(now.error());
  std::vector<MemoryRegion> all;
  for (const auto& slot : (*now)["slots"]) {
    if (slot["space"] != 0) continue;
    const bool rom = (slot["flags"].get<std::uint32_t>() & KVM_MEM_READONLY) != 0;
    all.push_back({.gpa = Gpa{slot["gpa"].get<std::uint64_t>()},
                   .size = slot["size"],
                   .kind = rom ? MemoryRegion::Kind::rom : MemoryRegion::Kind::ram});
  }
  std::ranges::sort(all, {}, &MemoryRegion::gpa);
  std::vector<MemoryRegion> joined;
  for (const MemoryRegion& one : all) {
    if (!joined.empty() && joined.back().end() == one.gpa && joined.back().kind == one.kind)
      joined.back().size += one.size;
    else
      joined.push_back(one);
  }
  return joined;
}

Outcome<std::vector<std::byte>> KvmGuest::memory(std::uint64_t gpa, std::size_t size,
                                                 unsigned space) const {
  const auto answer =
      ask("read " + std::to_string(space) + " " + std::to_string(gpa) + " " + std::to_string(size));
  if (!answer) return std::unexpected(answer.error());
  // As many bytes as it says follow.
  const std::size_t told = (*answer)["bytes"];
  while (received_.size() < told)
    if (auto done = receive(); !done) return std::unexpected(done.error());
  std::vector<std::byte> out(told);
  std::memcpy(out.data(), received_.data(), told);
  received_.erase(0, told);
  if (told != size) return std::unexpected("the VMM has not that much memory there");
  return out;
}

testing::AssertionResult KvmGuest::undisturbed() const {
  const auto before = ask("status");
  if (!before) return testing::AssertionFailure() << before.error();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const auto now = ask("status");
    if (!now) return testing::AssertionFailure() << now.error();
    if ((*now)["interrupted"] != 0 || (*now)["corrupted"] != 0)
      return testing::AssertionFailure() << now->dump();
    bool all = true;
    for (std::size_t i = 0; i < (*now)["counters"].size(); ++i)
      all = all && (*now)["counters"][i] > (*before)["counters"][i];
    if (all) return testing::AssertionSuccess();
    if (std::chrono::steady_clock::now() > deadline)
      return testing::AssertionFailure() << "a vCPU stands still: " << now->dump();
    std::this_thread::sleep_for(10ms);
  }
}

}  // namespace microvmi::test
