// SPDX-License-Identifier: Apache-2.0
// Sockets of monitors, from the three ways to ask for one.
#include "qemu/monitor_options.hpp"

#include <algorithm>
#include <array>

namespace microvmi::qemu {
namespace {

using Kind = MonitorAddress::Kind;

// "server" alone and "server=on" are the same; QEMU connects where neither is given.
MonitorAddress address_of(const Options& socket) {
  MonitorAddress out{.listens = socket.is_on("server")};
  if (const auto fd = parse_number(socket.text("fd")); fd && *fd <= INT32_MAX) {
    out.kind = Kind::inherited_fd;
    out.fd = static_cast<int>(*fd);
  } else if (const auto path = socket.get("path")) {
    out.kind = socket.is_on("abstract") ? Kind::unix_abstract : Kind::unix_path;
    out.text = *path;
  } else if (const auto port = parse_number(socket.text("port"));
             port && *port <= UINT16_MAX && !socket.is_on("udp")) {
    out.kind = Kind::tcp;
    out.text = socket.text("host");
    out.port = static_cast<std::uint16_t>(*port);
  }
  return out;
}

// "127.0.0.1:4444" as it stands before the first comma of -qmp tcp:...
void split_host(Options& all) {
  const std::string address = all.text("address");
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return;
  all.add("host", address.substr(0, colon));
  all.add("port", address.substr(colon + 1));
}

}  // namespace

void MonitorOptions::chardev(const Options& all, std::string_view written) {
  MonitorAddress address;
  if (all.get("backend") == "socket") address = address_of(all);
  if (address.kind == Kind::other) address.text = written;
  chardevs_.insert_or_assign(all.text("id"), std::move(address));
}

void MonitorOptions::qmp(std::string_view value, std::vector<std::string>& problems) {
  struct Form {
    std::string_view prefix;
    std::string_view implied;
  };
  constexpr std::array<Form, 3> kForms{
      {{"unix:", "path"}, {"tcp:", "address"}, {"chardev:", "chardev"}}};
  if (value == "none") return;
  const auto* const form =
      std::ranges::find_if(kForms, [&](const Form& one) { return value.starts_with(one.prefix); });
  if (form == kForms.end()) {
    direct_.push_back({.text = std::string(value)});
    return;
  }
  auto all = Options::parse(value.substr(form->prefix.size()), form->implied);
  if (!all) {
    problems.push_back("-qmp: " + all.error().message);
  } else if (form->implied == "chardev") {
    all->add("mode", "control");
    mons_.push_back(*std::move(all));
  } else {
    if (form->implied == "address") split_host(*all);
    direct_.push_back(address_of(*all));
  }
}

std::vector<MonitorAddress> MonitorOptions::finish() && {
  std::vector<MonitorAddress> out = std::move(direct_);
  for (const Options& mon : mons_) {
    const auto chardev = chardevs_.find(mon.text("chardev"));
    if (mon.get("mode") == "control" && chardev != chardevs_.end()) out.push_back(chardev->second);
  }
  return out;
}

}  // namespace microvmi::qemu
