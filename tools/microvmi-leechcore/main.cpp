// SPDX-License-Identifier: Apache-2.0
// The helper program that LeechCore is loaded into, for what it prints, asks and never returns
// from.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "connector/pcileech/protocol.hpp"
#include "serve.hpp"

int main() {
  namespace pcileech = microvmi::pcileech_connector;
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(pcileech::kCallFd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_SEQPACKET) {
    std::fputs("microvmi-leechcore is started by the pcileech connector of microvmi\n", stderr);
    return 2;
  }
  microvmi::leechcore::supervise();
  // None of it is for what LeechCore starts. What it prints is known although it never returns.
  for (const int fd : {pcileech::kCallFd, pcileech::kSharedFd})
    static_cast<void>(::fcntl(fd, F_SETFD, FD_CLOEXEC));
  static_cast<void>(std::setvbuf(stdout, nullptr, _IONBF, 0));
  // LeechCore's own threads may still run, so that nothing is torn down.
  ::_exit(microvmi::leechcore::serve());
}
