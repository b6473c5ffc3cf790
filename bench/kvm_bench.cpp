// SPDX-License-Identifier: Apache-2.0
// The kvm connector on the VMM of the tests: how fast the kernel's memory slots are found.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "contest.hpp"
#include "host/bpf/memslots.hpp"
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

int run_with_guest(int argc, char** argv) {
  if (const std::string none = test::why_no_kvm(); !none.empty()) {
    std::printf("kvm_bench was not run: %s\n", none.c_str());
    return 0;
  }
  const auto guest = test::KvmGuest::start();
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
  return run(argc, argv);
}

}  // namespace
}  // namespace microvmi::bench

int main(int argc, char** argv) { return microvmi::bench::run_with_guest(argc, argv); }
