// SPDX-License-Identifier: Apache-2.0
// The map, and who the guest is.
#include "contract/contract.hpp"

namespace microvmi::contract {
namespace {

class MapContract : public ContractTest {};

TEST_P(MapContract, RegionsAreSortedAlignedAndApart) {
  const auto map = memory().map();
  ASSERT_FALSE(map->regions.empty());
  Gpa before{0};
  for (const MemoryRegion& region : map->regions) {
    EXPECT_GE(region.gpa, before);
    EXPECT_GT(region.size, 0U);
    EXPECT_EQ(page_offset(region.gpa), 0U);
    EXPECT_EQ(region.size % kPageSize, 0U);
    EXPECT_GT(region.end(), region.gpa) << "it wraps around";
    before = region.end();
  }
}

TEST_P(MapContract, EndOfMemoryIsOnePastTheLastByteOfRam) {
  EXPECT_EQ(vm_->end_of_memory(), end());
  EXPECT_EQ(memory().map()->end_of_memory(), end());
}

TEST_P(MapContract, RamIsWhereTheTruthHasIt) {
  const auto map = memory().map();
  for (const MemoryRegion& real : ram_)
    for (const Gpa at : {real.gpa, real.gpa + real.size / 2, real.end() + ~0ULL})
      EXPECT_TRUE(map->find(at)) << std::hex << to_integer(at) << " is RAM and not in the map";
  for (const MemoryRegion& claimed : map->regions) {
    if (claimed.kind != MemoryRegion::Kind::ram) continue;
    const bool is_real = std::ranges::any_of(ram_, [&](const MemoryRegion& real) {
      return real.gpa <= claimed.gpa && claimed.end() <= real.end();
    });
    EXPECT_TRUE(is_real || !map->exact)
        << std::hex << to_integer(claimed.gpa) << '+' << claimed.size << " is not all RAM";
  }
}

TEST_P(MapContract, ASnapshotStaysWhatItWas) {
  const auto map = memory().map();
  const auto regions = map->regions;
  ASSERT_TRUE(memory().refresh());
  EXPECT_EQ(map->regions, regions);
  EXPECT_EQ(memory().map()->regions, regions) << "nothing was plugged";
  EXPECT_GE(memory().map()->generation, map->generation);
}

TEST_P(MapContract, InfoNamesTheGuest) {
  const GuestInfo expected = subject_->info();
  const GuestInfo info = vm_->info();
  EXPECT_EQ(info.vm_name, expected.vm_name);
  EXPECT_EQ(info.pid, expected.pid);
  EXPECT_EQ(info.connector, expected.connector);
  if (info.vcpus) {
    EXPECT_EQ(info.vcpus, expected.vcpus);
  }
  for (const Fact& fact : info.facts) {
    EXPECT_THAT(fact.name, testing::MatchesRegex("[a-z0-9_]+"));
    const auto same = [&](const Fact& other) { return other.name == fact.name; };
    EXPECT_EQ(std::ranges::count_if(info.facts, same), 1) << fact.name << " is told twice";
  }
}

TEST_P(MapContract, CapabilitiesAreWhatTheBackendHas) {
  for (const Capability needed : subject_->must_have())
    EXPECT_TRUE(can(needed)) << kCapabilityNames[static_cast<std::size_t>(needed)];
  EXPECT_EQ(can(Capability::memory_write), memory().writable());
  EXPECT_EQ(can(Capability::memory_view), memory().viewable());
  const auto capabilities = vm_->capabilities();
  EXPECT_EQ(vm_->capabilities(), capabilities) << "they change";
}

INSTANTIATE_TEST_SUITE_P(All, MapContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace microvmi::contract
