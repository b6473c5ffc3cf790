// SPDX-License-Identifier: Apache-2.0
// The rows that the subject files offer to the suite.
#pragma once

#include "contract/subject.hpp"

namespace microvmi::contract {

inline constexpr std::uint64_t kHigh = 1ULL << 32;  // above what 32 bits reach

// For a subject that every machine has.
inline std::string always() { return {}; }

[[nodiscard]] std::vector<SubjectKind> fake_subjects();
[[nodiscard]] std::vector<SubjectKind> coredump_subjects();
[[nodiscard]] std::vector<SubjectKind> kvm_subjects();
[[nodiscard]] std::vector<SubjectKind> pcileech_subjects();
[[nodiscard]] std::vector<SubjectKind> kvm_slots_subjects();
[[nodiscard]] std::vector<SubjectKind> qemu_procfs_subjects();
[[nodiscard]] std::vector<SubjectKind> qemu_driver_subjects();
[[nodiscard]] std::vector<SubjectKind> xen_subjects();  // in the dom0 of tests/xen alone

}  // namespace microvmi::contract
