// SPDX-License-Identifier: Apache-2.0
// Domain: a guest of the Xen that inside.sh has started, what it says itself, and what xl says.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>

#include "xen/bare.hpp"

// Ends the test where it does not run in such a dom0, or where that guest could not be made.
#define MICROVMI_NEEDS_DOMAIN(name)                                              \
  do {                                                                           \
    if (const std::string why = microvmi::test::xen::why_no(name); !why.empty()) \
      GTEST_SKIP() << why;                                                       \
  } while (false)

namespace microvmi::test::xen {

inline constexpr const char* kTiny = "tiny";    // PVH, two vCPUs of which one is online
inline constexpr const char* kHvm = "hvm";      // the same guest as firmware, with a device model
inline constexpr const char* kLinux = "linux";  // PV

// Empty where that guest is there.
[[nodiscard]] std::string why_no(const std::string& name);

struct Ran {
  int status = -1;
  std::string output{};  // stdout and stderr
};
// Through the shell, under a deadline.
[[nodiscard]] Ran shell(const std::string& line, int seconds = 60);

// As the tiny guest has it in memory; tiny.S has the order.
struct Counters {
  std::uint64_t ticks, cr3_writes, msr_writes, msr_seen, cpuids;
  std::array<std::uint32_t, 4> cpuid_seen;
  std::uint64_t cr4_writes, cr0_writes, table_reads, requests, debugs, breakpoints;
  std::uint64_t second_cr3_writes, second_ticks;  // of its second vCPU
};

class Domain {
 public:
  // One that runs: tiny, hvm or linux.
  [[nodiscard]] static Outcome<Domain> find(const std::string& name);

  // Another tiny guest, with one vCPU, which is gone with this object. `settings` are xl's.
  [[nodiscard]] static Outcome<Domain> create(const std::string& name,
                                              const std::string& settings = "vcpus=1");

  Domain(Domain&& other) noexcept;
  Domain& operator=(Domain&&) = delete;
  Domain(const Domain&) = delete;
  Domain& operator=(const Domain&) = delete;
  ~Domain();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint16_t id() const { return id_; }
  [[nodiscard]] const Bare& bare() const { return bare_; }

  // What the guest said: "pml4a", "r8"...
  [[nodiscard]] const std::map<std::string, std::uint64_t>& said() const { return said_; }
  [[nodiscard]] std::uint64_t said(const std::string& what) const;

  [[nodiscard]] Counters counters() const;
  [[nodiscard]] bool counts_on() const;  // whether the tiny guest's loop goes on, soon

  // What the tiny guest has stamped to these addresses.
  [[nodiscard]] std::vector<std::byte> stamps(std::uint64_t gpa, std::size_t size) const;

  [[nodiscard]] std::uint64_t stamp(std::uint64_t gpa) const;  // of one word

  [[nodiscard]] bool paused() const;  // as xl list has it
  void destroy();

 private:
  Domain(std::string name, std::uint16_t id, Bare bare)
      : name_(std::move(name)), id_(id), bare_(std::move(bare)) {}

  [[nodiscard]] static Outcome<Domain> at(const std::string& name, std::uint16_t id);

  std::string name_;
  std::uint16_t id_;
  Bare bare_;
  std::map<std::string, std::uint64_t> said_;
  bool own_ = false;  // to be destroyed
};

// What the Linux guest said on its console behind "guest: WHAT ".
[[nodiscard]] std::string linux_said(const std::string& what);

}  // namespace microvmi::test::xen
