// SPDX-License-Identifier: Apache-2.0
// KVMi messages as bytes: pure functions over the tables of dialect.hpp.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "driver/kvm/dialect.hpp"
#include "microvmi/error.hpp"

namespace microvmi::kvm {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

inline constexpr std::size_t kHeaderSize = 8;
inline constexpr std::size_t kMostPayload = 8184;  // KVMI_MAX_MSG_SIZE less the header
inline constexpr std::size_t kErrorSize = 8;       // before the data of every answer

// Little-endian; what is not there is 0.
[[nodiscard]] std::uint64_t load(ByteSpan bytes, std::size_t offset, std::size_t width);
void store(std::span<std::byte> bytes, std::size_t offset, std::size_t width, std::uint64_t value);

struct Header {
  std::uint16_t id = 0;
  std::uint16_t size = 0;  // of the payload
  std::uint32_t seq = 0;
};
[[nodiscard]] Header parse_header(ByteSpan bytes);

struct Given {
  Field field;
  std::uint64_t value;
};
using Values = std::span<const Given>;

// Puts a whole message behind `out`. What the dialect's message has no room for is left out.
void append(Bytes& out, Dialect dialect, Command command, std::uint32_t seq, Values values,
            ByteSpan tail = {});

// A number of a payload; 0 where the dialect or the message does not have it.
[[nodiscard]] std::uint64_t field_of(const Shape& shape, ByteSpan payload, Field field);

// What an answer's error code means; `what` goes before the system's word for it.
[[nodiscard]] Error error_of(std::int32_t code, const std::string& what);

// The state of a vCPU as events and get_registers tell it.
inline constexpr std::size_t kRegsSize = 144;   // struct kvm_regs
inline constexpr std::size_t kSregsSize = 312;  // struct kvm_sregs

struct EventMessage {
  EventKind kind{};
  std::uint16_t vcpu = 0;
  std::uint32_t seq = 0;
  std::uint16_t view = 0;
  ByteSpan regs{}, sregs{}, msrs{};  // empty where the message is too short for them
  ByteSpan data{};
};

// Whether a message with this id tells an event rather than answers a command.
[[nodiscard]] bool is_event(Dialect dialect, std::uint16_t id);
[[nodiscard]] Expected<EventMessage> parse_event(Dialect dialect, const Header& header,
                                                 ByteSpan payload);

struct EventAnswer {
  EventKind kind{};
  std::uint16_t vcpu = 0;
  std::uint32_t seq = 0;
  Action action = Action::proceed;
};
// Where a page fault's reply has the bytes that the access shall read, and how many at most.
inline constexpr std::size_t kReplyDataOffset = 16;
inline constexpr std::size_t kReplyDataMost = 256;

// With the values and data of the kind's own part.
void append_reply(Bytes& out, Dialect dialect, const EventAnswer& answer, Values values = {},
                  ByteSpan data = {});

// What get_version said: the numbers by which the dialects are told apart.
struct Version {
  std::uint32_t version = 0;
  std::optional<std::uint32_t> most_payload = std::nullopt;  // absent from the short answer of v6
  Bytes data{};                                              // behind the error code
};
[[nodiscard]] Version parse_version(ByteSpan data);

}  // namespace microvmi::kvm
