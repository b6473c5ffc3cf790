// SPDX-License-Identifier: Apache-2.0
// What can be intercepted. Each kind has a name, the replies it takes and what asks for it.
//
// nullopt stands for what the other side did not tell, or what could not be translated.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "microvmi/address.hpp"
#include "microvmi/event/reply.hpp"
#include "microvmi/registers.hpp"

namespace microvmi {

struct Access {
  bool read = false, write = false, execute = false;
  bool operator==(const Access&) const = default;
};

// One set of second-level page rights, of those a guest may have (EPT, NPT or altp2m view).
enum class SlatView : std::uint16_t {};
inline constexpr SlatView kDefaultView{0};

// An exception, as it is injected or was delivered.
struct Exception {
  std::uint8_t vector = 0;
  std::optional<std::uint32_t> error_code = std::nullopt;  // of the vectors that have one
  std::optional<Gva> address = std::nullopt;               // cr2 of a page fault
  bool operator==(const Exception&) const = default;
};

// Before a control register changes. Writes of the value that it has are not told.
struct CrWrite {
  static constexpr const char* kName = "cr_write";
  Reg cr;  // cr0, cr3 or cr4
  std::uint64_t old_value, new_value;
  using Reply = std::variant<Proceed, SetValue, Refuse>;
  struct Filter {
    Reg cr;
    bool operator==(const Filter&) const = default;
  };
};

// Before WRMSR writes.
struct MsrWrite {
  static constexpr const char* kName = "msr_write";
  std::uint32_t msr;
  std::optional<std::uint64_t> old_value;
  std::uint64_t new_value;
  using Reply = std::variant<Proceed, SetValue, Refuse>;
  struct Filter {
    std::uint32_t msr;
    bool operator==(const Filter&) const = default;
  };
};

// XSETBV, by which a guest chooses its extended state.
struct Xsetbv {
  static constexpr const char* kName = "xsetbv";
  std::uint32_t xcr;
  std::optional<std::uint64_t> old_value, new_value;
  using Reply = std::variant<Proceed>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// Any INT3 that a guest executes, before it gets its #BP. Proceed delivers that, for a breakpoint
// of the guest's own debugger; Retry keeps it from the guest, for one that was written by the tool.
struct Int3 {
  static constexpr const char* kName = "int3";
  Gva gva;
  std::optional<Gpa> gpa;
  std::uint8_t length;  // of the instruction
  using Reply = std::variant<Proceed, Retry>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// A managed breakpoint: before the instruction at this address. The driver sets it, hides it from
// memory reads where it has to change memory, steps over it and removes it, at the latest at close.
// The address is looked up in the vCPU's page tables of the moment in which it is set.
struct Breakpoint {
  enum class Kind : std::uint8_t { software, hardware };
  static constexpr const char* kName = "breakpoint";
  Gva gva;
  std::optional<Gpa> gpa;
  Kind kind;
  using Reply = std::variant<Proceed>;  // executes what is there, once, unless rip was written
  struct Filter {
    Gva gva;
    Kind kind = Kind::software;
    bool operator==(const Filter&) const = default;
  };
};

// A managed watchpoint: a vCPU has read or written one of these bytes; rip is behind the access.
struct Watchpoint {
  static constexpr const char* kName = "watchpoint";
  Gva gva;  // where it touched what is watched, as exactly as the backend says
  std::optional<Gpa> gpa;
  Access access;  // what was watched for; which of the two it was is not always known
  using Reply = std::variant<Proceed>;
  struct Filter {
    Gva gva;
    std::uint32_t length = 1;
    Access access;  // write, read, or both
    bool operator==(const Filter&) const = default;
  };
};

// One instruction was executed. One event for each until it is released.
struct SingleStep {
  static constexpr const char* kName = "single_step";
  bool completed = true;  // false where an interrupt or an exception came in between
  using Reply = std::variant<Proceed>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// #DB, before the guest gets it. Proceed delivers it, Retry keeps it from the guest.
struct DebugException {
  static constexpr const char* kName = "debug_exception";
  Gva gva;
  std::optional<Gpa> gpa;
  std::optional<std::uint64_t> dr6;  // what raised it
  using Reply = std::variant<Proceed, Retry>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// An access that the rights of its page do not allow; PageAccessControl takes them away.
struct PageAccess {
  static constexpr const char* kName = "page_access";
  Gpa gpa;
  std::optional<Gva> gva;
  Access access;
  SlatView view = kDefaultView;
  using Reply = std::variant<Proceed, Retry, Refuse, ReadAs>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// An instruction loads (write) or stores (read) a descriptor-table or task register.
struct DescriptorAccess {
  enum class Table : std::uint8_t { gdt, idt, ldt, tr };
  static constexpr const char* kName = "descriptor_access";
  Table table;
  bool write;
  using Reply = std::variant<Proceed, Retry>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// An exception was delivered to the guest; after an injection: which one it really got.
struct TrapDelivered {
  static constexpr const char* kName = "trap_delivered";
  Exception exception;
  using Reply = std::variant<Proceed>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

struct Cpuid {
  static constexpr const char* kName = "cpuid";
  std::uint32_t leaf, subleaf;
  using Reply = std::variant<Proceed, CpuidResult>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// A call that the guest makes on purpose for whoever looks at it from outside.
struct Hypercall {
  static constexpr const char* kName = "hypercall";
  std::uint64_t number;  // as the guest put it in rax
  using Reply = std::variant<Proceed>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// A call to what stands below the guest's kernel, as SMC of Arm is. It is not executed: Proceed
// gives the guest the exception of an undefined instruction, Retry goes on at rip, which may be
// written.
struct PrivilegedCall {
  static constexpr const char* kName = "privileged_call";
  Gva gva;  // of the instruction
  using Reply = std::variant<Proceed, Retry>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// An answer asked for an instruction to be emulated, and the emulator does not know it. Proceed
// gives the guest #UD, as where nobody asks for these events; Retry executes it again, with what
// kept the processor from doing so taken away by then.
struct EmulateUnimplemented {
  static constexpr const char* kName = "emulate_unimplemented";
  Gva gva;  // of the instruction
  using Reply = std::variant<Proceed, Retry>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

}  // namespace microvmi
