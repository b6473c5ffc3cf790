// SPDX-License-Identifier: Apache-2.0
// The kvm connector on the VMM of the tests: how fast the kernel's memory slots are found, and the
// registers of a vCPU that runs.
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "contest.hpp"
#include "host/bpf/memslots.hpp"
#include "host/linux/kvm_control.hpp"
#include "support/kvm_guest.hpp"

namespace microvmi::bench {
namespace {

constexpr double kDiscoveryLimit = 1;  // ms, with the program loaded
constexpr int kLoads = 11;

double in_ms(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

std::unique_ptr<host::MemslotReader> load(std::uint32_t pid) {
  auto reader = host::MemslotReader::open(pid);
  if (!reader) give_up(to_text(reader.error()));
  return *std::move(reader);
}

// Reported alone: it is the kernel's and libbpf's time, mostly for reading BTF.
void report_load(std::uint32_t pid) {
  std::vector<double> times;
  for (int i = 0; i < kLoads; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto reader = load(pid);
    times.push_back(in_ms(std::chrono::steady_clock::now() - start));
  }
  std::ranges::sort(times);
  std::printf("loading the BPF program: median %.1f ms, least %.1f ms of %d\n", times[kLoads / 2],
              times.front(), kLoads);
}

// Of the whole way, the thread of the vCPU and its scheduling included.
constexpr double kRegistersLimit = 0.1;  // ms
constexpr double kInjectedLimit = 0.2;
constexpr std::size_t kReads = 501;

std::shared_ptr<host::KvmControl> control(const test::KvmGuest& guest, bool inject) {
  const auto process = host::Process::open(guest.pid());
  if (!process) give_up(to_text(process.error()));
  auto opened = host::KvmControl::open(guest.pid(), process->start_time(), inject);
  if (!opened) give_up(to_text(opened.error()));
  return *std::move(opened);
}

void add_reads(const char* name, double limit, std::shared_ptr<host::KvmControl> from) {
  add(Deadline{.name = name, .limit_ms = limit, .turns = kReads, .ours = [from] {
                 const auto registers = from->read(0, Wait::at_most(std::chrono::seconds(5)));
                 if (!registers) give_up(to_text(registers.error()));
               }});
}

// What no way around a stop can save: the bare calls, KVM_RUN begun again as we do it.
void stop_barely(pid_t tid) {
  user_regs_struct registers{};
  int status = 0;
  if (::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) give_up("PTRACE_SEIZE");
  ::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
  if (::waitpid(tid, &status, __WALL) != tid) give_up("waitpid");
  ::ptrace(PTRACE_GETREGS, tid, nullptr, &registers);
  if (static_cast<long>(registers.rax) == -EINTR) {
    registers.rip -= 2;  // the size of SYSCALL
    registers.rax = registers.orig_rax;
    registers.orig_rax = ~0ULL;
    ::ptrace(PTRACE_SETREGS, tid, nullptr, &registers);
  }
  if (::ptrace(PTRACE_DETACH, tid, nullptr, nullptr) != 0) give_up("PTRACE_DETACH");
}

int run_with_guest(int argc, char** argv) {
  if (const std::string none = test::why_no_kvm(); !none.empty()) {
    std::printf("kvm_bench was not run: %s\n", none.c_str());
    return 0;
  }
  // One vCPU: with more the reader would wait for a processor on a small machine.
  const auto guest = test::KvmGuest::start({"vcpus=1"});
  if (!guest) give_up(guest.error());
  const std::uint32_t pid = (*guest)->pid();
  report_load(pid);
  const auto reader = load(pid);
  add({.name = "kvm/slots", .limit_ms = kDiscoveryLimit, .turns = 201, .ours = [&reader, &guest] {
         const auto found = reader->read();
         if (!found) give_up(to_text(found.error()));
         if (found->size() != 1 || found->front().slots.size() != (*guest)->truth()["slots"].size())
           give_up("the slots are not those of the VMM");
       }});
  const pid_t tid = (*guest)->truth()["vcpus"][0]["tid"];
  add(Deadline{
      .name = "kvm/stop/bare", .limit_ms = kRegistersLimit, .turns = kReads, .ours = [tid] {
        stop_barely(tid);
      }});
  add_reads("kvm/registers", kRegistersLimit, control(**guest, false));
  add_reads("kvm/registers/msrs", kInjectedLimit, control(**guest, true));
  return run(argc, argv);
}

}  // namespace
}  // namespace microvmi::bench

int main(int argc, char** argv) { return microvmi::bench::run_with_guest(argc, argv); }
