// SPDX-License-Identifier: Apache-2.0
// Descriptors named "anon_inode:kvm-vm" in /proc/PID/fd, whatever program holds them.
#include "connector/kvm/find.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "host/linux/proc.hpp"
#include "qemu/find.hpp"

namespace microvmi::kvm_connector {
namespace {

// The names that the kernel gives (virt/kvm/kvm_main.c); "kvm-vcpu:3" has the vCPU's number.
constexpr std::string_view kVm = "anon_inode:kvm-vm";
constexpr std::string_view kVcpu = "anon_inode:kvm-vcpu";

bool is_vm(const host::OpenFile& file) { return file.target == kVm; }

std::uint32_t count_vcpus(const std::vector<host::OpenFile>& files) {
  std::set<std::string_view> names;  // a descriptor may be there twice
  for (const host::OpenFile& one : files)
    if (one.target.starts_with(kVcpu)) names.insert(one.target);
  return static_cast<std::uint32_t>(names.size());
}

std::string program_of(std::uint32_t pid, std::string comm) {
  const auto path = host::exe_of(pid);
  return path ? path->substr(path->rfind('/') + 1) : std::move(comm);
}

// Nothing for a process without a VM.
Expected<std::optional<VmProcess>> look_at(std::uint32_t pid) {
  const auto stat = host::stat_of(pid);
  if (!stat) return std::unexpected(stat.error());
  const auto files = host::open_files_of(pid);
  if (!files) return std::unexpected(files.error());
  if (std::ranges::none_of(*files, is_vm)) return std::nullopt;
  VmProcess out{.pid = pid, .start_time = stat->start_time, .vcpus = count_vcpus(*files)};
  out.program = program_of(pid, stat->comm);
  if (const auto qemu = qemu::process_of(pid); qemu && !qemu->line.name.empty())
    out.name = qemu->line.name;
  return out;
}

}  // namespace

Expected<std::vector<VmProcess>> find_vms() {
  const auto pids = host::pids();
  if (!pids) return std::unexpected(pids.error());
  std::vector<VmProcess> out;
  for (const std::uint32_t pid : *pids)
    if (auto one = look_at(pid); one && *one) out.push_back(**std::move(one));
  return out;
}

Expected<VmProcess> vm_of(std::uint32_t pid) {
  constexpr const char* kHint = "see which guests run: microvmi scan";
  auto found = look_at(pid);
  if (!found && found.error().code == Errc::not_found)
    return fail(Errc::not_found, fmt::format("there is no process {}", pid), {}, kHint);
  if (!found) return std::unexpected(found.error());
  if (!*found)
    return fail(Errc::invalid_argument,
                fmt::format("pid {} ({}) has no virtual machine of KVM's open", pid,
                            qemu::in_one_line(host::comm_of(pid).value_or("?"))),
                {}, kHint);
  return **std::move(found);
}

std::string name_of(const VmProcess& process) {
  return qemu::in_one_line(process.name.value_or(process.program));
}

std::string to_text(const VmProcess& process) {
  return fmt::format("pid {} ({})", process.pid, name_of(process));
}

}  // namespace microvmi::kvm_connector
