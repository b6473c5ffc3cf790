// SPDX-License-Identifier: Apache-2.0
// The helper program that resumes a guest when the program that paused it is gone.
#include <fcntl.h>
#include <sys/socket.h>

#include <cstdio>

#include "microvmi/guard.hpp"

int main() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    std::fputs("microvmi-guard is started by programs that pause guests; see InitOptions::guard\n",
               stderr);
    return 2;
  }
  static_cast<void>(::fcntl(3, F_SETFD, FD_CLOEXEC));
  return microvmi::serve_guard();
}
