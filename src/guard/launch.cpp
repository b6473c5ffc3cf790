// SPDX-License-Identifier: Apache-2.0
// Finds the helper and starts it so that it is no child of ours: it forks once and the first half
// ends, and a program that waits for its own children never meets it.
#include "guard/launch.hpp"

#include <array>

#include "host/linux/helper_program.hpp"

namespace microvmi::guard {

Expected<std::filesystem::path> helper_for(const GuardOptions& options) {
  if (!options.helper.empty()) return options.helper;
  auto found = host::find_helper("microvmi-guard");
  if (!found) found.error().hint = "install it or name it in GuardOptions::helper";
  return found;
}

Expected<Channel> launch(const GuardOptions& options) {
  const auto helper = helper_for(options);
  if (!helper) return std::unexpected(helper.error());
  auto ends = Channel::pair();
  if (!ends) return std::unexpected(std::move(ends.error()));
  std::array<int, kHelperFd + 1> descriptors{};
  descriptors.fill(-1);
  descriptors.back() = ends->second.fd();
  const auto pid = host::start_helper(*helper, descriptors);
  if (!pid) return std::unexpected(pid.error());
  {
    const Channel theirs = std::move(ends->second);
  }  // else its end would outlive the helper
  const Wait wait = Wait::at_most(options.timeout);
  const auto greeting = ends->first.receive(wait);
  host::reap_helper(*pid, wait);
  if (!greeting || greeting->empty() || greeting->front() != kGreeting)
    return fail(Errc::protocol, helper->string() + " is no guard process of this version");
  return std::move(ends->first);
}

}  // namespace microvmi::guard
