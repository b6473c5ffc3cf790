// SPDX-License-Identifier: Apache-2.0
// The C API: registers, virtual addresses, events.
#include <algorithm>
#include <new>

#include "capi/handle.hpp"
#include "microvmi/event/text.hpp"

struct mvmi_event {
  microvmi::Event event;
  std::vector<microvmi::EventField> fields;
};

namespace {

using microvmi::AddressSpace;
using microvmi::Caught;
using microvmi::Errc;
using microvmi::Event;
using microvmi::Expected;
using microvmi::fields_of;
using microvmi::Gva;
using microvmi::kEveryVcpu;
using microvmi::kRegisters;
using microvmi::PagingMode;
using microvmi::parse_intercept;
using microvmi::Proceed;
using microvmi::Refuse;
using microvmi::Registers;
using microvmi::ReplyTo;
using microvmi::Retry;
using microvmi::SetValue;
using microvmi::VcpuId;
using microvmi::VirtualMemory;
using microvmi::Wait;
using microvmi::capi::done;
using microvmi::capi::failed;

static_assert(MVMI_PAGING_NONE == static_cast<int>(PagingMode::none));
static_assert(MVMI_PAGING_FIVE_LEVEL == static_cast<int>(PagingMode::five_level));
static_assert(MVMI_EVERY_VCPU == static_cast<std::uint32_t>(kEveryVcpu));

void copy_out(const Registers& registers, std::uint64_t* values, unsigned char* known,
              std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = i < kRegisters.size() ? registers[kRegisters[i].reg] : std::nullopt;
    values[i] = value.value_or(0);
    known[i] = value ? 1 : 0;
  }
}

AddressSpace space_of(const mvmi_space& space) {
  constexpr int kNoSuchMode = 0xff;
  const bool possible = space.paging >= 0 && space.paging < kNoSuchMode;
  return {.cr3 = space.cr3,
          .mode = static_cast<PagingMode>(possible ? space.paging : kNoSuchMode),
          .large_pages = space.large_pages != 0,
          .no_execute = space.no_execute != 0};
}

// Nothing where the two are usable.
const char* problem(const mvmi_vm* vm, const void* other) {
  if (!vm) return "the vm is NULL";
  return other ? nullptr : "an argument is NULL";
}

template <class R, class E>
Expected<void> answer(Caught<E>& event, R reply) {
  if constexpr (ReplyTo<R, E>)
    return event.reply(std::move(reply));
  else
    return fail(Errc::invalid_argument,
                std::string("an event of kind ") + E::kName + " takes no such reply");
}

template <class R>
Expected<void> answer(Event& event, const R& reply) {
  return std::visit([&](auto& one) { return answer(one, reply); }, event);
}

Expected<void> answer(Event& event, std::string_view reply, std::uint64_t value) {
  if (reply == "proceed") return answer(event, Proceed{});
  if (reply == "set_value") return answer(event, SetValue{value});
  if (reply == "refuse") return answer(event, Refuse{});
  if (reply == "retry") return answer(event, Retry{});
  return fail(Errc::invalid_argument,
              "a reply is proceed, set_value, refuse or retry, not '" + std::string(reply) + "'");
}

}  // namespace

uint32_t mvmi_vcpus(const mvmi_vm* vm) { return vm ? vm->vm.info().vcpus.value_or(0) : 0; }

const char* mvmi_register_name(size_t index) {
  return index < kRegisters.size() ? kRegisters[index].name : nullptr;
}

// NOLINTNEXTLINE(readability-function-size): C has no spans
int mvmi_read_registers(mvmi_vm* vm, uint32_t vcpu, uint64_t* values, unsigned char* known,
                        size_t count, mvmi_error** error) {
  if (const char* wrong = problem(vm, values)) return failed(error, wrong);
  if (!known) return failed(error, "an argument is NULL");
  const auto registers = vm->vm.read_registers(VcpuId{vcpu});
  if (!registers) return failed(error, registers.error());
  copy_out(*registers, values, known, count);
  return 1;
}

// NOLINTNEXTLINE(readability-function-size): C has no spans
int mvmi_write_registers(mvmi_vm* vm, uint32_t vcpu, const uint64_t* values,
                         const unsigned char* known, size_t count, mvmi_error** error) {
  if (const char* wrong = problem(vm, values)) return failed(error, wrong);
  if (!known) return failed(error, "an argument is NULL");
  Registers registers;
  for (std::size_t i = 0; i < std::min(count, kRegisters.size()); ++i)
    if (known[i] != 0) registers.set(kRegisters[i].reg, values[i]);
  return done(vm->vm.write_registers(VcpuId{vcpu}, registers), error);
}

int mvmi_read_xsave(mvmi_vm* vm, uint32_t vcpu, void* buffer, size_t capacity, size_t* size,
                    mvmi_error** error) {
  if (const char* wrong = problem(vm, size)) return failed(error, wrong);
  if (!buffer && capacity != 0) return failed(error, "an argument is NULL");
  const auto area = vm->vm.read_xsave(VcpuId{vcpu});
  if (!area) return failed(error, area.error());
  *size = area->size();
  std::copy_n(area->begin(), std::min(capacity, area->size()), static_cast<std::byte*>(buffer));
  return 1;
}

int mvmi_running(mvmi_vm* vm, int* running, mvmi_error** error) {
  if (const char* wrong = problem(vm, running)) return failed(error, wrong);
  const auto now = vm->vm.running();
  if (!now) return failed(error, now.error());
  *running = *now ? 1 : 0;
  return 1;
}

int mvmi_space_of_vcpu(mvmi_vm* vm, uint32_t vcpu, mvmi_space* out, mvmi_error** error) {
  if (const char* wrong = problem(vm, out)) return failed(error, wrong);
  const auto space = vm->vm.address_space(VcpuId{vcpu});
  if (!space) return failed(error, space.error());
  *out = {space->cr3, static_cast<int>(space->mode), space->large_pages ? 1 : 0,
          space->no_execute ? 1 : 0};
  return 1;
}

int mvmi_translate(mvmi_vm* vm, const mvmi_space* space, uint64_t gva, mvmi_translation* out,
                   mvmi_error** error) {
  if (const char* wrong = problem(vm, space)) return failed(error, wrong);
  if (!out) return failed(error, "an argument is NULL");
  const auto found = vm->vm.translate(space_of(*space), Gva{gva});
  if (!found) return failed(error, found.error());
  *out = {.gpa = to_integer(found->gpa),
          .page_size = found->page_size,
          .writable = found->writable ? 1 : 0,
          .user = found->user ? 1 : 0,
          .executable = found->executable ? 1 : 0,
          .depth = found->depth,
          .levels = {}};
  for (std::size_t i = 0; i < found->levels().size(); ++i)
    out->levels[i] = {found->levels()[i].level, to_integer(found->levels()[i].gpa),
                      found->levels()[i].value};
  return 1;
}

// NOLINTNEXTLINE(readability-function-size): C has no spans
int mvmi_read_virtual(mvmi_vm* vm, const mvmi_space* space, uint64_t gva, void* buffer, size_t size,
                      mvmi_error** error) {
  if (const char* wrong = problem(vm, space)) return failed(error, wrong);
  if (!buffer && size != 0) return failed(error, "the buffer is NULL");
  VirtualMemory memory(vm->vm.memory(), space_of(*space));
  return done(memory.read(Gva{gva}, {static_cast<std::byte*>(buffer), size}), error);
}

// NOLINTNEXTLINE(readability-function-size): C has no spans
int mvmi_write_virtual(mvmi_vm* vm, const mvmi_space* space, uint64_t gva, const void* bytes,
                       size_t size, mvmi_error** error) {
  if (const char* wrong = problem(vm, space)) return failed(error, wrong);
  if (!bytes && size != 0) return failed(error, "the bytes are NULL");
  VirtualMemory memory(vm->vm.memory(), space_of(*space));
  return done(memory.write(Gva{gva}, {static_cast<const std::byte*>(bytes), size}), error);
}

int mvmi_intercept(mvmi_vm* vm, uint32_t vcpu, const char* what, mvmi_error** error) {
  if (const char* wrong = problem(vm, what)) return failed(error, wrong);
  const auto intercept = parse_intercept(what);
  if (!intercept) return failed(error, intercept.error());
  return done(vm->vm.intercept(VcpuId{vcpu}, *intercept), error);
}

int mvmi_release(mvmi_vm* vm, uint32_t vcpu, const char* what, mvmi_error** error) {
  if (const char* wrong = problem(vm, what)) return failed(error, wrong);
  const auto intercept = parse_intercept(what);
  if (!intercept) return failed(error, intercept.error());
  return done(vm->vm.release(VcpuId{vcpu}, *intercept), error);
}

mvmi_event* mvmi_next_event(mvmi_vm* vm, uint32_t milliseconds, mvmi_error** error) {
  if (const char* wrong = problem(vm, vm)) return failed(error, wrong), nullptr;
  auto event = vm->vm.next_event(Wait::at_most(std::chrono::milliseconds(milliseconds)));
  if (!event) return failed(error, event.error()), nullptr;
  auto fields = fields_of(*event);
  return new mvmi_event{*std::move(event), std::move(fields)};
}

const char* mvmi_event_kind(const mvmi_event* event) {
  return event ? name_of(event->event) : nullptr;
}

uint32_t mvmi_event_vcpu(const mvmi_event* event) {
  return event ? to_integer(vcpu_of(event->event)) : MVMI_EVERY_VCPU;
}

void mvmi_event_registers(const mvmi_event* event, uint64_t* values, unsigned char* known,
                          size_t count) {
  if (values && known)
    copy_out(event ? registers_of(event->event) : Registers{}, values, known, count);
}

const char* mvmi_event_field(const mvmi_event* event, size_t index, uint64_t* value) {
  if (!event || index >= event->fields.size()) return nullptr;
  if (value) *value = event->fields[index].value;
  return event->fields[index].name;
}

int mvmi_event_reply(mvmi_event* event, const char* reply, uint64_t value, mvmi_error** error) {
  if (!event || !reply) return failed(error, "an argument is NULL");
  return done(answer(event->event, reply, value), error);
}

void mvmi_event_free(mvmi_event* event) { delete event; }
