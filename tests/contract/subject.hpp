// SPDX-License-Identifier: Apache-2.0
// Subject: what a backend brings so that the contract suite can be run against it.
#pragma once

#include <gtest/gtest.h>

#include <expected>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "microvmi/init.hpp"
#include "support/qmp_truth.hpp"

namespace microvmi::contract {

using test::Outcome;

// One guest, and what is known of it without asking the code that is tested.
class Subject {
 public:
  Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  virtual ~Subject() = default;

  // One more connection to the guest, as a user opens it.
  [[nodiscard]] virtual std::expected<Vm, InitError> open() = 0;

  // Whether several may have it open at once; where not, open() fails soon while one has.
  [[nodiscard]] virtual bool shared() const { return true; }

  // All of the guest's RAM: sorted, touching regions joined.
  [[nodiscard]] virtual std::vector<MemoryRegion> ram() = 0;

  // RAM that nobody changes during the test: whole pages, two neighbours at least.
  [[nodiscard]] virtual std::vector<MemoryRegion> still() = 0;

  // What is in memory; never asked for bytes outside ram().
  [[nodiscard]] virtual Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) = 0;

  // Name and connector that GuestInfo must have, where it must have one.
  [[nodiscard]] virtual GuestInfo info() { return {}; }

  // Whether the guest runs; nullopt where nobody can tell.
  [[nodiscard]] virtual std::optional<bool> running() { return std::nullopt; }

  // Capabilities that this backend has to have here.
  [[nodiscard]] virtual std::vector<Capability> must_have() { return {}; }

  // A register that has this value while the guest is paused.
  [[nodiscard]] virtual std::vector<std::pair<Reg, std::uint64_t>> registers() { return {}; }

  // An instruction that the running guest executes again and again, where events are to be tested.
  [[nodiscard]] virtual std::optional<Gva> reached() { return std::nullopt; }

  // Takes the guest away, and says with what reads fail from then on; nullopt where it cannot.
  [[nodiscard]] virtual std::optional<Errc> die() { return std::nullopt; }
};

struct SubjectKind {
  const char* name;
  std::string (*why_not)();  // empty where this host can make it
  Outcome<std::unique_ptr<Subject>> (*make)();
};

// gtest prints the parameter of each test.
inline void PrintTo(const SubjectKind& kind, std::ostream* out) { *out << kind.name; }

// The list that the suite runs over: one row for each subject, in *_subject.cpp.
[[nodiscard]] std::vector<SubjectKind> subjects();

// A row of these starts a QEMU.
inline constexpr const char* kLivePrefix = "live_";

}  // namespace microvmi::contract
