// SPDX-License-Identifier: Apache-2.0
// One domain of those that run.
#include "driver/xen/selection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "driver/xen/guest.hpp"
#include "qemu/find.hpp"

namespace microvmi::xen {
namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string list(const std::vector<NamedDomain>& domains) {
  std::string out;
  for (const NamedDomain& one : domains) out += (out.empty() ? "" : ", ") + to_text(one);
  return out.empty() ? "none" : out;
}

bool fits(const NamedDomain& one, const Wanted& wanted) {
  if (wanted.domid) return one.domain.domid == *wanted.domid;
  if (wanted.uuid) return uuid_text(one.domain) == lower(*wanted.uuid);
  if (wanted.name) return one.name == wanted.name;
  return true;
}

std::string described(const Wanted& wanted) {
  if (wanted.domid) return fmt::format("no guest with the domid {}", *wanted.domid);
  if (wanted.uuid) return fmt::format("no guest with the uuid {}", *wanted.uuid);
  if (wanted.name) return fmt::format("no guest named {:?}", *wanted.name);
  return "no guest";
}

// What selected is not all that was said of it.
Expected<void> check_agreement(const NamedDomain& one, const Wanted& wanted) {
  if (wanted.uuid && uuid_text(one.domain) != lower(*wanted.uuid))
    return fail(Errc::invalid_argument,
                fmt::format("{} has the uuid {}, not {}", to_text(one), uuid_text(one.domain),
                            *wanted.uuid),
                {}, "leave out one of the two");
  if (wanted.name && one.name && one.name != wanted.name)
    return fail(Errc::invalid_argument, fmt::format("{} is not {:?}", to_text(one), *wanted.name),
                {}, "leave out the name or what selects before it");
  return {};
}

}  // namespace

Wanted wanted_of(const DriverInitParams& params) {
  Wanted out;
  if (params.xen)
    out = {.name = params.xen->vm_name, .domid = params.xen->domid, .uuid = params.xen->uuid};
  if (!out.name && params.common) out.name = params.common->vm_name;
  return out;
}

std::string uuid_text(const Domain& domain) {
  std::string out;
  for (std::size_t i = 0; i < domain.uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", domain.uuid[i]);
  }
  return out;
}

std::string to_text(const NamedDomain& one) {
  return fmt::format("domain {} ({})", one.domain.domid,
                     one.name ? qemu::in_one_line(*one.name) : "without a name");
}

Expected<std::vector<NamedDomain>> guests(Hypervisor& xen) {
  std::vector<Domain> all;
  if (const Errno error = xen.domains(all); error != 0)
    return fail(code_of(error),
                fmt::format("cannot list the domains of this host: {}", std::strerror(error)), {},
                "run as root in the control domain");
  std::vector<NamedDomain> out;
  for (const Domain& one : all)
    if (one.domid != 0 && !one.dying) out.push_back({one, xen.name(one.domid)});
  return out;
}

Expected<NamedDomain> choose(const std::vector<NamedDomain>& found, const Wanted& wanted) {
  if (wanted.domid == std::uint16_t{0})
    return fail(Errc::invalid_argument, "domain 0 is the control domain, which runs this program");
  std::vector<NamedDomain> matching;
  std::ranges::copy_if(found, std::back_inserter(matching),
                       [&](const NamedDomain& one) { return fits(one, wanted); });
  if (matching.empty())
    return fail(Errc::not_found,
                fmt::format("Xen runs {}; running: {}", described(wanted), list(found)));
  if (matching.size() > 1)
    return fail(Errc::invalid_argument,
                fmt::format("{} guests {}: {}", matching.size(),
                            wanted.name   ? fmt::format("have the name {:?}", *wanted.name)
                            : wanted.uuid ? fmt::format("have the uuid {}", *wanted.uuid)
                                          : std::string("run"),
                            list(matching)),
                {}, "choose one by xen.domid");
  if (auto done = check_agreement(matching.front(), wanted); !done)
    return std::unexpected(std::move(done.error()));
  return matching.front();
}

}  // namespace microvmi::xen
