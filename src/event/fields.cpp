// SPDX-License-Identifier: Apache-2.0
// What an event tells, as names and numbers.
#include <type_traits>

#include "microvmi/event/text.hpp"

namespace microvmi {
namespace {

class Fields {
 public:
  void add(const char* name, std::uint64_t value) { out_.push_back({name, value}); }
  void add(const char* name, Gva value) { add(name, to_integer(value)); }
  void add(const char* name, Gpa value) { add(name, to_integer(value)); }
  template <class T>
  void add(const char* name, const std::optional<T>& value) {
    if (value) add(name, *value);
  }
  void add(const Access& access) {
    add("read", std::uint64_t{access.read});
    add("write", std::uint64_t{access.write});
    add("execute", std::uint64_t{access.execute});
  }

  std::vector<EventField> take() { return std::move(out_); }

 private:
  std::vector<EventField> out_;
};

// A kind that has nothing to tell beside its registers.
template <class E>
void add(Fields&, const E&) {
  static_assert(std::is_empty_v<E>, "a kind with members needs an add() of its own");
}

void add(Fields& out, const CrWrite& what) {
  // "cr3": there is no cr1 in the list, so a register's place in it is not its number.
  const char* name = kRegisters[static_cast<std::size_t>(what.cr)].name;
  out.add("cr", static_cast<std::uint64_t>(name[2] - '0'));
  out.add("old_value", what.old_value);
  out.add("new_value", what.new_value);
}

void add(Fields& out, const MsrWrite& what) {
  out.add("msr", std::uint64_t{what.msr});
  out.add("old_value", what.old_value);
  out.add("new_value", what.new_value);
}

void add(Fields& out, const Xsetbv& what) {
  out.add("xcr", std::uint64_t{what.xcr});
  out.add("old_value", what.old_value);
  out.add("new_value", what.new_value);
}

void add(Fields& out, const Int3& what) {
  out.add("gva", what.gva);
  out.add("gpa", what.gpa);
  out.add("length", std::uint64_t{what.length});
}

void add(Fields& out, const Breakpoint& what) {
  out.add("gva", what.gva);
  out.add("gpa", what.gpa);
  out.add("hardware", std::uint64_t{what.kind == Breakpoint::Kind::hardware});
}

void add(Fields& out, const Watchpoint& what) {
  out.add("gva", what.gva);
  out.add("gpa", what.gpa);
  out.add(what.access);
}

void add(Fields& out, const SingleStep& what) {
  out.add("completed", std::uint64_t{what.completed});
}

void add(Fields& out, const DebugException& what) {
  out.add("gva", what.gva);
  out.add("gpa", what.gpa);
  out.add("dr6", what.dr6);
}

void add(Fields& out, const PageAccess& what) {
  out.add("gva", what.gva);
  out.add("gpa", what.gpa);
  out.add(what.access);
  out.add("view", static_cast<std::uint64_t>(what.view));
}

void add(Fields& out, const DescriptorAccess& what) {
  out.add("table", static_cast<std::uint64_t>(what.table));
  out.add("write", std::uint64_t{what.write});
}

void add(Fields& out, const TrapDelivered& what) {
  out.add("vector", std::uint64_t{what.exception.vector});
  if (what.exception.error_code) out.add("error_code", std::uint64_t{*what.exception.error_code});
  out.add("address", what.exception.address);
}

void add(Fields& out, const Cpuid& what) {
  out.add("leaf", std::uint64_t{what.leaf});
  out.add("subleaf", std::uint64_t{what.subleaf});
}

void add(Fields& out, const Hypercall& what) { out.add("number", what.number); }

void add(Fields& out, const PrivilegedCall& what) { out.add("gva", what.gva); }

void add(Fields& out, const EmulateUnimplemented& what) { out.add("gva", what.gva); }

}  // namespace

std::vector<EventField> fields_of(const Event& event) {
  Fields out;
  std::visit([&](const auto& one) { add(out, *one); }, event);
  return out.take();
}

}  // namespace microvmi
