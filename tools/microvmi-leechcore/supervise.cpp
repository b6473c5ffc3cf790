// SPDX-License-Identifier: Apache-2.0
// The supervisor never touches LeechCore, so that nothing that does wrong can keep it from its
// duty.
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "connector/pcileech/protocol.hpp"
#include "serve.hpp"

namespace microvmi::leechcore {
namespace {

using pcileech_connector::Ended;
using pcileech_connector::kCallFd;
using pcileech_connector::kLifeFd;
using pcileech_connector::kSharedFd;

// By number, for glibc 2.36 has no wrapper.
int watch(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// Until the server ends, the program closes its end, or dies while a child of it holds that.
[[noreturn]] void stand_by(pid_t server, int program) {
  for (const int fd : {0, 1, 2, kCallFd, kSharedFd}) ::close(fd);
  std::array<pollfd, 3> watched{pollfd{watch(server), POLLIN, 0}, pollfd{kLifeFd, POLLIN, 0},
                                pollfd{program, POLLIN, 0}};
  while (::poll(watched.data(), watched.size(), -1) < 0 && errno == EINTR) continue;
  if ((watched[0].revents & POLLIN) == 0) ::kill(server, SIGKILL);
  Ended ended;
  while (::waitpid(server, &ended.status, 0) < 0 && errno == EINTR) continue;
  static_cast<void>(::send(kLifeFd, &ended, sizeof ended, MSG_NOSIGNAL | MSG_DONTWAIT));
  ::_exit(0);
}

}  // namespace

void supervise() {
  // Ctrl-C is for the program, which closes its end.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE})
    static_cast<void>(std::signal(signal, SIG_IGN));
  const int program = watch(::getppid());
  if (const pid_t half = ::fork(); half != 0) ::_exit(half > 0 ? 0 : 1);
  const pid_t supervisor = ::getpid();
  const pid_t server = ::fork();
  if (server < 0) ::_exit(1);
  if (server > 0) stand_by(server, program);
  ::close(kLifeFd);
  if (program >= 0) ::close(program);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != supervisor) ::_exit(1);
}

}  // namespace microvmi::leechcore
