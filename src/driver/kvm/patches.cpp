// SPDX-License-Identifier: Apache-2.0
// Which breakpoints there are, for whom, and which were there a moment ago.
#include "driver/kvm/patches.hpp"

#include <algorithm>

namespace microvmi::kvm {

std::optional<Gpa> Patches::find(const Asker& asker) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [gpa, patch] : patches_)
    if (std::ranges::find(patch.askers, asker) != patch.askers.end()) return gpa;
  return std::nullopt;
}

bool Patches::join(Gpa gpa, const Asker& asker) {
  const std::lock_guard lock(mutex_);
  const auto found = patches_.find(gpa);
  if (found == patches_.end() || found->second.askers.empty()) return false;
  found->second.askers.push_back(asker);
  return true;
}

void Patches::insert(Gpa gpa, std::byte original, const Asker& asker) {
  const std::lock_guard lock(mutex_);
  patches_[gpa] = {.original = original, .askers = {asker}};
  ++active_;
}

std::byte Patches::take_away(Patch& patch, std::uint32_t vcpus) {
  patch.askers.clear();
  for (std::uint32_t i = 0; i < vcpus; ++i) patch.late.insert(static_cast<std::uint16_t>(i));
  --active_;
  return patch.original;
}

std::optional<std::byte> Patches::leave(Gpa gpa, const Asker& asker, std::uint32_t vcpus) {
  const std::lock_guard lock(mutex_);
  Patch& patch = patches_[gpa];
  if (std::erase(patch.askers, asker) == 0 || !patch.askers.empty()) return std::nullopt;
  return take_away(patch, vcpus);
}

std::vector<std::pair<Gpa, std::byte>> Patches::leave_all(std::uint32_t vcpus) {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<Gpa, std::byte>> out;
  for (auto& [gpa, patch] : patches_)
    if (!patch.askers.empty()) out.emplace_back(gpa, take_away(patch, vcpus));
  return out;
}

std::optional<std::byte> Patches::original(Gpa gpa) const {
  const std::lock_guard lock(mutex_);
  const auto found = patches_.find(gpa);
  if (found == patches_.end() || found->second.askers.empty()) return std::nullopt;
  return found->second.original;
}

bool Patches::is_asked(Gpa gpa, std::uint16_t vcpu) const {
  const std::lock_guard lock(mutex_);
  const auto found = patches_.find(gpa);
  return found != patches_.end() &&
         std::ranges::any_of(found->second.askers, [vcpu](const Asker& asker) {
           return asker.vcpu == kEveryVcpu || to_integer(asker.vcpu) == vcpu;
         });
}

bool Patches::is_late(Gpa gpa, std::uint16_t vcpu) {
  const std::lock_guard lock(mutex_);
  const auto found = patches_.find(gpa);
  return found != patches_.end() && found->second.late.erase(vcpu) != 0;
}

void Patches::hide(Gpa gpa, std::span<std::byte> bytes) const {
  if (!any()) return;
  const std::lock_guard lock(mutex_);
  for (auto at = patches_.lower_bound(gpa); at != patches_.end() && at->first - gpa < bytes.size();
       ++at)
    if (!at->second.askers.empty()) bytes[at->first - gpa] = at->second.original;
}

std::optional<std::vector<std::byte>> Patches::keep(Gpa gpa, std::span<const std::byte> bytes) {
  if (!any()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  std::optional<std::vector<std::byte>> out;
  for (auto at = patches_.lower_bound(gpa); at != patches_.end() && at->first - gpa < bytes.size();
       ++at) {
    if (at->second.askers.empty()) continue;
    if (!out) out.emplace(bytes.begin(), bytes.end());
    at->second.original = bytes[at->first - gpa];
    (*out)[at->first - gpa] = kInt3;
  }
  return out;
}

}  // namespace microvmi::kvm
