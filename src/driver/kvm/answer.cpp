// SPDX-License-Identifier: Apache-2.0
// Each kind with what it tells and the bytes that its replies become.
#include "driver/kvm/answer.hpp"

#include <algorithm>

#include "driver/kvm/state.hpp"

namespace microvmi::kvm {
namespace {

constexpr std::uint64_t kUnknownGva = ~0ULL;

// KVMI_DESC_IDTR and so on.
std::optional<DescriptorAccess::Table> table_of(std::uint64_t number) {
  using enum DescriptorAccess::Table;
  static constexpr std::array kTables{idt, gdt, ldt, tr};
  if (number < 1 || number > kTables.size()) return std::nullopt;
  return kTables[number - 1];
}

Reg cr_of(std::uint64_t number) {
  if (number == 0) return Reg::cr0;
  return number == 3 ? Reg::cr3 : Reg::cr4;
}

// Intel SDM vol. 3A 6.15: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP push one.
bool has_error_code(std::uint64_t vector) {
  return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}
constexpr std::uint64_t kPageFault = 14;

// Reads the numbers of one event, and makes public ones of them.
class Teller {
 public:
  Teller(Dialect dialect, const EventMessage& message, const std::weak_ptr<ReplySink>& sink)
      : dialect_(dialect), message_(message), sink_(sink), registers_(registers_of(message)) {}

  std::optional<Event> tell(bool managed) const {
    switch (message_.kind) {
      case EventKind::cr:
        return as(CrWrite{cr_of(get(Field::cr)), get(Field::old_value), get(Field::new_value)});
      case EventKind::msr:
        return as(MsrWrite{static_cast<std::uint32_t>(get(Field::msr)), get(Field::old_value),
                           get(Field::new_value)});
      case EventKind::xsetbv:
        return as(xsetbv());
      case EventKind::breakpoint:
        if (managed) return as(Breakpoint{rip(), Gpa{get(Field::gpa)}, Breakpoint::Kind::software});
        return as(Int3{rip(), Gpa{get(Field::gpa)}, static_cast<std::uint8_t>(get(Field::length))});
      case EventKind::hypercall:
        return as(Hypercall{registers_[Reg::rax].value_or(0)});
      case EventKind::page_fault:
        return as(page_access());
      case EventKind::trap:
        return as(TrapDelivered{exception()});
      case EventKind::descriptor:
        return descriptor();
      case EventKind::create_vcpu:
        return as(VcpuCreated{});
      case EventKind::singlestep:
        return as(SingleStep{.completed = get(Field::failed) == 0});
      case EventKind::cpuid:
        return as(Cpuid{static_cast<std::uint32_t>(get(Field::leaf)),
                        static_cast<std::uint32_t>(get(Field::subleaf))});
      case EventKind::unhook:
        return Event(Caught<Detached>({}, kEveryVcpu, {}, sink_, message_.seq));
      case EventKind::pause_vcpu:
      case EventKind::cmd_error:
        return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] std::uint64_t get(Field field) const {
    return number_in(dialect_, message_, field);
  }
  [[nodiscard]] Gva rip() const { return Gva{registers_[Reg::rip].value_or(0)}; }

  template <class E>
  [[nodiscard]] Event as(E what) const {
    return Caught<E>(what, VcpuId{message_.vcpu}, registers_, sink_, message_.seq);
  }

  // The older ones tell nothing; ecx is the register's number (Intel SDM vol. 2, XSETBV).
  [[nodiscard]] Xsetbv xsetbv() const {
    if (row(dialect_, EventKind::xsetbv).data.size() != 0)
      return {static_cast<std::uint32_t>(get(Field::xcr)), get(Field::old_value),
              get(Field::new_value)};
    return {static_cast<std::uint32_t>(registers_[Reg::rcx].value_or(0)), std::nullopt,
            std::nullopt};
  }

  [[nodiscard]] PageAccess page_access() const {
    const std::uint64_t bits = get(Field::access);
    PageAccess out{.gpa = Gpa{get(Field::gpa)},
                   .gva = std::nullopt,
                   .access = {.read = (bits & kMayRead) != 0,
                              .write = (bits & kMayWrite) != 0,
                              .execute = (bits & kMayExecute) != 0},
                   .view = SlatView{message_.view}};
    if (get(Field::gva) != kUnknownGva) out.gva = Gva{get(Field::gva)};
    return out;
  }

  [[nodiscard]] Exception exception() const {
    Exception out{.vector = static_cast<std::uint8_t>(get(Field::vector))};
    if (has_error_code(out.vector))
      out.error_code = static_cast<std::uint32_t>(get(Field::error_code));
    if (out.vector == kPageFault) out.address = Gva{get(Field::address)};
    return out;
  }

  [[nodiscard]] std::optional<Event> descriptor() const {
    const auto table = table_of(get(Field::table));
    if (!table) return std::nullopt;
    return as(DescriptorAccess{*table, get(Field::write) != 0});
  }

  Dialect dialect_;
  const EventMessage& message_;
  const std::weak_ptr<ReplySink>& sink_;
  Registers registers_;
};

std::unexpected<Error> no_such_answer(const EventMessage& message) {
  return fail(Errc::not_supported,
              std::string("KVMi has no such answer to a ") + name_of(message.kind) + " event");
}

Expected<Bytes> data_answer(Dialect dialect, const EventMessage& message, const ReadAs& reply) {
  const std::uint64_t gva = number_in(dialect, message, Field::gva);
  if (message.kind != EventKind::page_fault ||
      row(dialect, EventKind::page_fault).reply.size() == 0 || gva == kUnknownGva ||
      reply.bytes.size() > kReplyDataMost)
    return no_such_answer(message);
  const std::array values{Given{Field::data_gva, gva}, Given{Field::data_size, reply.bytes.size()}};
  Bytes out;
  append_reply(out, dialect, {.kind = message.kind, .vcpu = message.vcpu, .seq = message.seq},
               values, reply.bytes);
  return out;
}

// A reply to a write always says what shall be written: without it the kernel would write 0.
Bytes value_answer(Dialect dialect, const EventMessage& message, std::uint64_t value) {
  const std::array values{Given{Field::new_value, value}};
  Bytes out;
  append_reply(out, dialect, {.kind = message.kind, .vcpu = message.vcpu, .seq = message.seq},
               values);
  return out;
}

bool is_write(const EventMessage& message) {
  return message.kind == EventKind::cr || message.kind == EventKind::msr;
}

}  // namespace

std::uint64_t number_in(Dialect dialect, const EventMessage& message, Field field) {
  return field_of(row(dialect, message.kind).data, message.data, field);
}

std::optional<std::uint32_t> register_of(Dialect dialect, const EventMessage& message) {
  if (message.kind == EventKind::singlestep) return 0;
  if (!is_write(message)) return std::nullopt;
  const Field field = message.kind == EventKind::cr ? Field::cr : Field::msr;
  return static_cast<std::uint32_t>(number_in(dialect, message, field));
}

std::optional<Event> public_event(Dialect dialect, const EventMessage& message,
                                  const std::weak_ptr<ReplySink>& sink, bool managed) {
  return Teller(dialect, message, sink).tell(managed);
}

Bytes plain_answer(Dialect dialect, const EventMessage& message, Action action) {
  if (is_write(message))
    return value_answer(dialect, message, number_in(dialect, message, Field::new_value));
  Bytes out;
  append_reply(out, dialect,
               {.kind = message.kind, .vcpu = message.vcpu, .seq = message.seq, .action = action});
  return out;
}

Expected<Bytes> answer_to(Dialect dialect, const EventMessage& message, const AnyReply& reply) {
  if (const auto* value = std::get_if<SetValue>(&reply)) {
    if (!is_write(message)) return no_such_answer(message);
    return value_answer(dialect, message, value->value);
  }
  if (std::holds_alternative<Refuse>(reply)) {
    if (!is_write(message)) return no_such_answer(message);
    return value_answer(dialect, message, number_in(dialect, message, Field::old_value));
  }
  if (const auto* data = std::get_if<ReadAs>(&reply)) return data_answer(dialect, message, *data);
  const bool retry = std::holds_alternative<Retry>(reply);
  return plain_answer(dialect, message, retry ? Action::retry : Action::proceed);
}

}  // namespace microvmi::kvm
