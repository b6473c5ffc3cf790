// SPDX-License-Identifier: Apache-2.0
// Deed: what the simulated guest does on request of a test, and what became of it.
#pragma once

#include <cstdint>
#include <memory>

#include "support/kvmi_peer/dialect.hpp"

namespace microvmi::test::kvmi {

inline constexpr std::uint8_t kRead = 1, kWrite = 2, kExecute = 4;
inline constexpr std::uint8_t kCpuidLength = 2;  // 0f a2

// One instruction of the guest, or some that it finds in memory.
struct Deed {
  Ev ev{};
  std::uint64_t number = 0;  // CR, MSR, XCR, leaf, descriptor register, count of instructions
  std::uint64_t value = 0;   // what is written; the subleaf
  std::uint64_t gva = 0;
  std::uint64_t gpa = 0;
  std::uint8_t access = 0;

  static Deed write_cr(unsigned cr, std::uint64_t value) {
    return {.ev = Ev::cr, .number = cr, .value = value};
  }
  static Deed write_msr(std::uint32_t msr, std::uint64_t value) {
    return {.ev = Ev::msr, .number = msr, .value = value};
  }
  static Deed write_xcr(std::uint64_t value) { return {.ev = Ev::xsetbv, .value = value}; }
  // Executes what is at rip: NOP, or INT3 where there is one.
  static Deed run(std::uint64_t instructions) {
    return {.ev = Ev::breakpoint, .number = instructions};
  }
  static Deed touch(std::uint64_t gva, std::uint64_t gpa, std::uint8_t access) {
    return {.ev = Ev::page_fault, .gva = gva, .gpa = gpa, .access = access};
  }
  static Deed hypercall() { return {.ev = Ev::hypercall}; }
  static Deed cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    return {.ev = Ev::cpuid, .number = leaf, .value = subleaf};
  }
  // 1 IDTR, 2 GDTR, 3 LDTR, 4 TR
  static Deed descriptor(std::uint8_t reg, bool write) {
    return {.ev = Ev::descriptor, .number = reg, .value = write ? 1U : 0U};
  }
  static Deed appear() { return {.ev = Ev::create_vcpu}; }
};

struct Outcome {
  bool done = false;
  bool released = false;        // the connection ended before it was answered
  bool crashed = false;         // the answer was CRASH
  unsigned events = 0;          // how many it took
  Action action{};              // of the last answer
  Bytes answer{};               // the specific part of the last answer
  std::uint64_t written = 0;    // what the register has now
  unsigned own_exceptions = 0;  // #BP that went to the guest
  bool skipped = false;         // the instruction was left out
};

struct Task {
  Deed deed;
  std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();
};

// An exception that the tool injected.
struct Injected {
  std::uint8_t vector = 0;
  std::uint32_t error_code = 0;
  std::uint64_t address = 0;
  bool operator==(const Injected&) const = default;
};

}  // namespace microvmi::test::kvmi
