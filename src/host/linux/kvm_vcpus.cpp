// SPDX-License-Identifier: Apache-2.0
// What /proc/PID/fd, maps and task tell, and what /dev/kvm says of itself.
#include "host/linux/kvm_vcpus.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <span>
#include <string_view>

#include "host/linux/kvm_state.hpp"
#include "host/linux/maps.hpp"
#include "host/linux/number.hpp"
#include "host/linux/proc.hpp"
#include "host/linux/tasks.hpp"

namespace microvmi::host {
namespace {

constexpr std::string_view kVcpuFile = "anon_inode:kvm-vcpu:";  // virt/kvm/kvm_main.c
constexpr std::size_t kMostVcpus = 4096;  // KVM_MAX_VCPUS, arch/x86/include/asm/kvm_host.h

std::optional<std::uint32_t> vcpu_of(std::string_view name) {
  if (!name.starts_with(kVcpuFile)) return std::nullopt;
  return number_of<std::uint32_t>(name.substr(kVcpuFile.size()));
}

bool same_file(std::uint32_t pid, int one, int other) {
  return ::syscall(SYS_kcmp, pid, pid, KCMP_FILE, one, other) == 0;
}

std::unexpected<Error> unsupported(const Process& process, const std::string& what,
                                   std::string hint = {}) {
  return fail(Errc::not_supported, fmt::format("process {} {}", process.pid(), what), {},
              std::move(hint));
}

Expected<Descriptor> open_kvm() {
  Descriptor kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) return system_failure(errno, "cannot open /dev/kvm");
  return kvm;
}

// A thread of the kernel that looks like one of the process: it has no user code.
bool is_of_kernel(std::string_view name) {
  return name.starts_with("kvm-nx-lpage") || name.starts_with("vhost-") || name.starts_with("iou-");
}

// As QEMU, Firecracker, cloud-hypervisor and crosvm name them.
bool is_named_vcpu(std::string_view name) {
  return (name.starts_with("CPU ") && name.ends_with("/KVM")) || name.starts_with("fc_vcpu") ||
         name.starts_with("vcpu") || name.starts_with("crosvm_vcpu");
}

}  // namespace

Expected<std::vector<KvmVcpu>> find_kvm_vcpus(const Process& process) {
  const auto files = open_files_of(process.pid());
  if (!files) return std::unexpected(files.error());
  std::map<std::uint32_t, KvmVcpu> found;
  for (const OpenFile& file : *files) {
    if (file.target == "/dev/sev")
      return unsupported(process, "runs a guest whose registers are encrypted (SEV)");
    const auto id = vcpu_of(file.target);
    if (!id) continue;
    KvmVcpu& vcpu = found[*id];
    vcpu.id = *id;
    if (!vcpu.fds.empty() && !same_file(process.pid(), vcpu.fds.front(), file.fd))
      return unsupported(process, fmt::format("runs two guests: it has vCPU {} twice", *id));
    vcpu.fds.push_back(file.fd);
    if (found.size() > kMostVcpus) return unsupported(process, "has more vCPUs than KVM allows");
  }
  if (found.empty())
    return fail(Errc::not_found, fmt::format("process {} has no vCPU of KVM", process.pid()), {},
                "kernels before 4.19 do not name their files");
  const auto maps = read_maps(process.pid());
  if (!maps) return std::unexpected(maps.error());
  for (const Mapping& one : *maps) {
    const auto id = vcpu_of(one.path);
    if (id && found.contains(*id) && one.offset == 0 && one.write) found[*id].run = one.start;
  }
  std::vector<KvmVcpu> out;
  for (auto& [id, vcpu] : found) {
    if (vcpu.run == 0) return unsupported(process, fmt::format("has not mapped vCPU {}", id));
    out.push_back(std::move(vcpu));
  }
  if (!process.alive()) return std::unexpected(process.gone());
  return out;
}

Expected<std::uint64_t> kvm_sync_parts() {
  const auto kvm = open_kvm();
  if (!kvm) return std::unexpected(kvm.error());
  const int parts = ::ioctl(kvm->get(), KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
  return parts > 0 ? static_cast<std::uint64_t>(parts) : 0;
}

Expected<std::vector<std::uint32_t>> kvm_known_msrs() {
  // By hand: C++ may see another size of a structure that ends in a flexible array than C.
  constexpr unsigned long kGetIndexList = _IOWR(KVMIO, 0x02, std::uint32_t);
  struct List {
    std::uint32_t count = 4096;
    std::array<std::uint32_t, 4096> indices{};
  };
  const auto kvm = open_kvm();
  if (!kvm) return std::unexpected(kvm.error());
  const auto list = std::make_unique<List>();
  if (::ioctl(kvm->get(), kGetIndexList, list.get()) != 0)
    return system_failure(errno, "cannot ask KVM for its registers");
  const auto known =
      std::span(list->indices).first(std::min<std::size_t>(list->count, list->indices.size()));
  std::vector<std::uint32_t> out;
  for (const KvmMsr& one : kvm_msrs())
    if (std::ranges::find(known, one.index) != known.end()) out.push_back(one.index);
  return out;
}

std::optional<int> running_vcpu(const Process& process, std::uint32_t tid) {
  const auto call = task_call(process, tid);
  if (!call || call->running || call->number != SYS_ioctl || call->pc == 0) return std::nullopt;
  if (static_cast<std::uint32_t>(call->arguments[1]) != KVM_RUN) return std::nullopt;
  return static_cast<int>(call->arguments[0]);
}

Expected<std::vector<std::uint32_t>> vcpu_threads(const Process& process) {
  const auto tasks = tasks_of(process);
  if (!tasks) return std::unexpected(tasks.error());
  struct Candidate {
    int rank;
    std::uint32_t tid;
  };
  std::vector<Candidate> candidates;
  for (const std::uint32_t tid : *tasks) {
    const auto name = task_name(process, tid);
    if (!name || is_of_kernel(*name)) continue;
    const auto call = task_call(process, tid);
    if (!call || (!call->running && call->pc == 0)) continue;
    const auto ticks = guest_ticks(process, tid);
    if (running_vcpu(process, tid))
      candidates.push_back({0, tid});
    else if ((ticks && *ticks != 0) || is_named_vcpu(*name))
      candidates.push_back({1, tid});
    else if (call->running)
      candidates.push_back({2, tid});
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::rank);
  std::vector<std::uint32_t> out;
  for (const Candidate& one : candidates) out.push_back(one.tid);
  return out;
}

}  // namespace microvmi::host
