// SPDX-License-Identifier: Apache-2.0
// MonitorOptions: which monitors that speak QMP the options -qmp, -chardev and -mon make.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "qemu/options.hpp"

namespace microvmi::qemu {

// A monitor that speaks QMP, as far as the command line tells where it listens.
struct MonitorAddress {
  enum class Kind : std::uint8_t { unix_path, unix_abstract, inherited_fd, tcp, other };

  Kind kind = Kind::other;
  std::string text{};      // a path as written, perhaps relative to QEMU's cwd; a host; the rest
  int fd = -1;             // of Kind::inherited_fd
  std::uint16_t port = 0;  // of Kind::tcp
  bool listens = false;    // false: QEMU connected to somebody, so that nobody can connect to it
};

class MonitorOptions {
 public:
  void chardev(const Options& all, std::string_view written);
  void mon(Options all) { mons_.push_back(std::move(all)); }

  // "unix:PATH,server=on,wait=off", "chardev:ID", and much that nobody can connect to.
  void qmp(std::string_view value, std::vector<std::string>& problems);

  // A chardev may stand behind the -mon that names it.
  [[nodiscard]] std::vector<MonitorAddress> finish() &&;

 private:
  std::map<std::string, MonitorAddress, std::less<>> chardevs_;
  std::vector<Options> mons_;
  std::vector<MonitorAddress> direct_;
};

}  // namespace microvmi::qemu
