// SPDX-License-Identifier: Apache-2.0
// The first messages of a connection: QEMU tells which guest it is, we answer with the secret's
// hash.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "driver/kvm/codec.hpp"
#include "driver/kvm/sha1.hpp"

namespace microvmi::kvm {

// What QEMU tells of its guest (struct qemu_vmintrospect_handshake).
struct Greeting {
  std::uint32_t size = 0;  // of the whole structure
  std::array<std::byte, 16> uuid{};
  std::int64_t start_time = 0;  // seconds since 1970; 0 where QEMU is too old to tell
  std::string name{};
  std::uint64_t max_gpa = 0;  // of v12: one past the last byte of RAM; 0 where it is not told
  bool operator==(const Greeting&) const = default;
};

// "00112233-4455-..."
[[nodiscard]] std::string uuid_text(const Greeting& greeting);

// Takes the bytes of a greeting as they come, and not one more than it has.
class GreetingReader {
 public:
  // How many bytes to read next; 0 when it is complete.
  [[nodiscard]] std::size_t wanted() const;
  [[nodiscard]] Expected<void> take(ByteSpan bytes);
  [[nodiscard]] Greeting result() const;

 private:
  Bytes known_;            // the start, as far as anything is known about it
  std::size_t taken_ = 0;  // with what was thrown away
};

// The cookie of no secret is all zeros.
[[nodiscard]] Bytes greeting_answer(const std::optional<Sha1>& cookie);

}  // namespace microvmi::kvm
