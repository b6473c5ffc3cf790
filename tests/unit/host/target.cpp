// SPDX-License-Identifier: Apache-2.0
// The child side and the asking side of Target.
#include "unit/host/target.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace microvmi::test {
namespace {

// The kernel clears it when the thread that named it has ended (set_tid_address(2)). Not by
// pthread_join: sanitizers allow no second one, and there is one for a first thread.
std::atomic<int> g_first_thread = 1;

int backing_file(Backing backing, std::uint64_t size) {
  std::string path = "/tmp/microvmi-target-XXXXXX";
  const int fd = backing == Backing::memfd_shared ? ::memfd_create("guest-ram", MFD_CLOEXEC)
                                                  : ::mkstemp(path.data());
  if (backing != Backing::memfd_shared) ::unlink(path.c_str());
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) ::_exit(3);
  return fd;
}

void fill(std::uint64_t address, std::uint64_t size) {
  auto* words = reinterpret_cast<volatile std::uint64_t*>(address);
  for (std::uint64_t offset = 0; offset < size; offset += 8) words[offset / 8] = word_at(offset);
}

}  // namespace

std::uint64_t map_memory(Backing backing, std::uint64_t size) {
  const bool anonymous = backing == Backing::anonymous;
  const bool is_private = anonymous || backing == Backing::file_private;
  const int fd = anonymous ? -1 : backing_file(backing, size);
  const int flags = (is_private ? MAP_PRIVATE : MAP_SHARED) | (anonymous ? MAP_ANONYMOUS : 0);
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (base == MAP_FAILED) ::_exit(3);
  const auto address = reinterpret_cast<std::uint64_t>(base);
  fill(address, size);
  return address;
}

Target::Target(Backing backing, std::uint64_t size)
    : Target([=] { return map_memory(backing, size); }) {}

Target::Target(const std::function<std::uint64_t()>& setup) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  pid_ = ::fork();
  if (pid_ < 0) std::abort();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(ends[0]);
    serve(ends[1], setup);
  }
  ::close(ends[1]);
  socket_ = ends[0];
  if (::read(socket_, &address_, sizeof address_) != sizeof address_) std::abort();
}

Target::~Target() {
  kill();
  ::close(socket_);
}

void Target::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void Target::serve(int socket, const std::function<std::uint64_t()>& setup) {
  answer_questions(socket, setup());
}

void Target::answer_questions(int socket, std::uint64_t answer) {
  Command command{};
  do {
    if (::write(socket, &answer, sizeof answer) != sizeof answer) break;
    if (::read(socket, &command, sizeof command) != sizeof command) break;
    answer = obey(command, socket);
  } while (true);
  ::_exit(0);
}

std::uint64_t Target::obey(const Command& command, int socket) {
  void* place = reinterpret_cast<void*>(command.address);
  switch (command.verb) {
    case Verb::word:
      return *static_cast<volatile std::uint64_t*>(place);
    case Verb::unmap:
      return ::munmap(place, command.size) == 0 ? 0 : 1;
    case Verb::protect:
      return ::mprotect(place, command.size, PROT_NONE) == 0 ? 0 : 1;
    case Verb::map:
      return map_memory(command.backing, command.size);
    case Verb::threads:
      for (std::uint64_t i = 0; i < command.size; ++i) std::thread([] {}).join();
      return 0;
    case Verb::leave:
      ::prctl(PR_SET_PDEATHSIG, 0);
      std::thread([socket] {
        while (g_first_thread != 0) ::usleep(1000);
        answer_questions(socket, 0);
      }).detach();
      ::syscall(SYS_set_tid_address, &g_first_thread);
      ::syscall(SYS_exit, 0);  // of this thread alone, and without unwinding into gtest
      break;
  }
  ::_exit(4);
}

std::uint64_t Target::ask(const Command& command) const {
  std::uint64_t answer = 0;
  if (::write(socket_, &command, sizeof command) != sizeof command) std::abort();
  if (::read(socket_, &answer, sizeof answer) != sizeof answer) std::abort();
  return answer;
}

std::uint64_t Target::word(std::uint64_t address) const {
  return ask({.verb = Verb::word, .backing = {}, .address = address, .size = 8});
}

void Target::unmap(std::uint64_t address, std::uint64_t size) const {
  if (ask({.verb = Verb::unmap, .backing = {}, .address = address, .size = size}) != 0)
    std::abort();
}

void Target::protect_none(std::uint64_t address, std::uint64_t size) const {
  if (ask({.verb = Verb::protect, .backing = {}, .address = address, .size = size}) != 0)
    std::abort();
}

void Target::run_threads(int count) const {
  static_cast<void>(ask({.verb = Verb::threads,
                         .backing = {},
                         .address = 0,
                         .size = static_cast<std::uint64_t>(count)}));
}

void Target::leave_to_another_thread() const {
  static_cast<void>(ask({.verb = Verb::leave, .backing = {}, .address = 0, .size = 0}));
}

std::uint64_t Target::map_more(Backing backing, std::uint64_t size) const {
  return ask({.verb = Verb::map, .backing = backing, .address = 0, .size = size});
}

}  // namespace microvmi::test
