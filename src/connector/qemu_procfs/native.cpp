// SPDX-License-Identifier: Apache-2.0
// fcntl.
#include "connector/qemu_procfs/native.hpp"

#include <fcntl.h>

#include <cerrno>

namespace microvmi::qemu_procfs_connector {

Expected<host::Descriptor> duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return host::system_failure(errno, "duplicate a descriptor");
  return host::Descriptor(copy);
}

}  // namespace microvmi::qemu_procfs_connector
