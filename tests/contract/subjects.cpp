// SPDX-License-Identifier: Apache-2.0
// Every subject of the suite; a new backend adds its rows here.
#include "contract/subjects.hpp"

namespace microvmi::contract {

std::vector<SubjectKind> subjects() {
  std::vector<SubjectKind> all;
  for (auto* rows : {fake_subjects, coredump_subjects, kvm_subjects, kvm_slots_subjects,
                     pcileech_subjects, qemu_procfs_subjects, qemu_driver_subjects, xen_subjects}) {
    const auto some = rows();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

}  // namespace microvmi::contract
