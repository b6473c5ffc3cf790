// SPDX-License-Identifier: Apache-2.0
// Reading and writing messages by their tables.
#include "driver/kvm/codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace microvmi::kvm {
namespace {

// The part that every event begins with, counted from its own length word.
constexpr std::size_t kEventVcpu = 2;
constexpr std::size_t kEventIdV7 = 4;
constexpr std::size_t kEventView = 10;
constexpr std::size_t kEventRegs = 16;
constexpr std::size_t kEventSregs = kEventRegs + kRegsSize;
constexpr std::size_t kEventMsrs = kEventSregs + kSregsSize;
constexpr std::size_t kEventMsrsSize = 72;
constexpr std::size_t kEventLeast = 8;

// In v12 the id stands before that part, and is all there is of a VM's event.
constexpr std::size_t kEventHeadV12 = 8;
constexpr std::uint16_t kVmEventV12 = 0;

// KVM's own number beside those of Linux.
constexpr std::int32_t kEnosys = 1000;  // KVM_ENOSYS, linux/kvm_para.h

void put(std::span<std::byte> payload, const Shape& shape, Values values) {
  for (const Given& given : values)
    if (const Slot* slot = shape.find(given.field))
      store(payload, slot->offset, slot->width, given.value);
}

// Room for one message at the end of `out`, all zeros behind its header.
std::span<std::byte> begin_message(Bytes& out, const Header& header) {
  const std::size_t start = out.size();
  out.resize(start + kHeaderSize + header.size);
  const auto message = std::span(out).subspan(start);
  store(message, 0, 2, header.id);
  store(message, 2, 2, header.size);
  store(message, 4, 4, header.seq);
  return message.subspan(kHeaderSize);
}

ByteSpan part(ByteSpan bytes, std::size_t offset, std::size_t size) {
  return offset + size <= bytes.size() ? bytes.subspan(offset, size) : ByteSpan{};
}

std::unexpected<Error> malformed(const std::string& what) {
  return fail(Errc::protocol, "KVMi: " + what, {}, "the kernel may speak another version of KVMi");
}

std::optional<EventKind> kind_of(Dialect dialect, std::uint64_t id, bool vm_message) {
  for (std::size_t i = 0; i < kEvents; ++i) {
    const auto kind = static_cast<EventKind>(i);
    const EventRow& event = row(dialect, kind);
    const bool fits = dialect != Dialect::v12 || event.of_vm == vm_message;
    if (event.known && event.id == id && fits) return kind;
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t load(ByteSpan bytes, std::size_t offset, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width && offset + i < bytes.size(); ++i)
    value |= std::to_integer<std::uint64_t>(bytes[offset + i]) << (8 * i);
  return value;
}

void store(std::span<std::byte> bytes, std::size_t offset, std::size_t width, std::uint64_t value) {
  for (std::size_t i = 0; i < width && offset + i < bytes.size(); ++i)
    bytes[offset + i] = static_cast<std::byte>(value >> (8 * i));
}

Header parse_header(ByteSpan bytes) {
  return {.id = static_cast<std::uint16_t>(load(bytes, 0, 2)),
          .size = static_cast<std::uint16_t>(load(bytes, 2, 2)),
          .seq = static_cast<std::uint32_t>(load(bytes, 4, 4))};
}

void append(Bytes& out, Dialect dialect, Command command, std::uint32_t seq, Values values,
            ByteSpan tail) {
  const CommandRow& shape = row(dialect, command);
  const std::size_t size = shape.request.size() + tail.size();
  const auto payload =
      begin_message(out, {.id = shape.id, .size = static_cast<std::uint16_t>(size), .seq = seq});
  put(payload, shape.request, values);
  std::ranges::copy(tail, payload.subspan(shape.request.size()).begin());
}

std::uint64_t field_of(const Shape& shape, ByteSpan payload, Field field) {
  const Slot* slot = shape.find(field);
  return slot ? load(payload, slot->offset, slot->width) : 0;
}

Error error_of(std::int32_t code, const std::string& what) {
  struct Meaning {
    std::int32_t code;
    Errc errc;
    const char* hint;
  };
  // Negative, with the numbers of errno.h and kvm_para.h.
  static constexpr std::array kMeanings{
      Meaning{EPERM, Errc::permission_denied,
              "QEMU's -object introspection may list what it allows"},
      Meaning{ENOENT, Errc::not_found, ""},
      Meaning{E2BIG, Errc::invalid_argument, ""},
      Meaning{EAGAIN, Errc::busy, "this vcpu was not started by the guest yet"},
      Meaning{ENOMEM, Errc::io, ""},
      Meaning{EFAULT, Errc::io, ""},
      Meaning{EBUSY, Errc::busy, ""},
      Meaning{EINVAL, Errc::invalid_argument, ""},
      Meaning{EOPNOTSUPP, Errc::not_supported, ""},
      Meaning{kEnosys, Errc::not_supported, "this kernel does not have the command"}};
  if (code == -kEnosys)
    return {Errc::not_supported, what + ": function not implemented", {}, kMeanings.back().hint};
  const auto known = code < 0 ? std::ranges::find(kMeanings, -std::int64_t{code}, &Meaning::code)
                              : kMeanings.end();
  if (known == kMeanings.end())
    return {Errc::protocol, fmt::format("{}: the kernel answered with error {}", what, code)};
  return {known->errc, fmt::format("{}: {}", what, std::strerror(known->code)), {}, known->hint};
}

bool is_event(Dialect dialect, std::uint16_t id) {
  return id == 1 || (dialect == Dialect::v12 && id == kVmEventV12);
}

Expected<EventMessage> parse_event(Dialect dialect, const Header& header, ByteSpan payload) {
  const bool v12 = dialect == Dialect::v12;
  const bool vm_message = v12 && header.id == kVmEventV12;
  const ByteSpan rest = v12 ? payload.subspan(std::min(kEventHeadV12, payload.size())) : payload;
  const std::size_t least = v12 ? kEventHeadV12 + (vm_message ? 0 : kEventLeast) : kEventLeast;
  const std::size_t common_size = vm_message ? 0 : load(rest, 0, 2);
  if (payload.size() < least || common_size > rest.size() ||
      (!vm_message && common_size < kEventLeast))
    return malformed(fmt::format("an event of {} bytes, of which {} are said to be common",
                                 payload.size(), common_size));
  const std::uint64_t id = v12 ? load(payload, 0, 2) : load(payload, kEventIdV7, 1);
  const auto kind = kind_of(dialect, id, vm_message);
  if (!kind) return malformed(fmt::format("an event of unknown kind {}", id));
  const ByteSpan common = rest.first(common_size);
  const ByteSpan data = rest.subspan(common_size);
  const Shape& shape = row(dialect, *kind).data;
  if (data.size() < shape.size())
    return malformed(fmt::format("{} event with {} bytes of its own instead of {}", name_of(*kind),
                                 data.size(), shape.size()));
  return EventMessage{
      .kind = *kind,
      .vcpu = static_cast<std::uint16_t>(load(common, kEventVcpu, 2)),
      .seq = header.seq,
      .view = static_cast<std::uint16_t>(dialect == Dialect::v7 ? load(common, kEventView, 2) : 0),
      .regs = part(common, kEventRegs, kRegsSize),
      .sregs = part(common, kEventSregs, kSregsSize),
      .msrs = part(common, kEventMsrs, kEventMsrsSize),
      .data = data};
}

void append_reply(Bytes& out, Dialect dialect, const EventAnswer& answer, Values values,
                  ByteSpan data) {
  const CommandRow& reply = row(dialect, Command::event_reply);
  const EventRow& event = row(dialect, answer.kind);
  const std::size_t size = reply.request.size() + std::size_t{event.reply.size()};
  const auto payload = begin_message(
      out, {.id = reply.id, .size = static_cast<std::uint16_t>(size), .seq = answer.seq});
  const std::array<Given, 3> head{{{Field::vcpu, answer.vcpu},
                                   {Field::action, static_cast<std::uint64_t>(answer.action)},
                                   {Field::event, event.id}}};
  put(payload, reply.request, head);
  const auto own = payload.subspan(reply.request.size());
  put(own, event.reply, values);
  if (!data.empty()) std::ranges::copy(data, own.last(own.size() - kReplyDataOffset).begin());
}

Version parse_version(ByteSpan data) {
  Version out{.version = static_cast<std::uint32_t>(load(data, 0, 4)),
              .data = Bytes(data.begin(), data.end())};
  // v6 answers with 8 bytes; later ones have at least 16.
  if (data.size() >= 16) out.most_payload = static_cast<std::uint32_t>(load(data, 4, 4));
  return out;
}

}  // namespace microvmi::kvm
