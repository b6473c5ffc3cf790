// SPDX-License-Identifier: Apache-2.0
// The layout of both messages.
#include "driver/kvm/handshake.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace microvmi::kvm {
namespace {

constexpr std::size_t kSizeSize = 4;
constexpr std::size_t kUuid = 4;
constexpr std::size_t kStartTime = 24;
constexpr std::size_t kName = 32;
constexpr std::size_t kNameSize = 64;
constexpr std::size_t kMaxGpa = kName + kNameSize;
constexpr std::size_t kKnown = kMaxGpa + 8;

// What libkvmi takes, and so what is in use.
constexpr std::size_t kLeast = 32;
constexpr std::size_t kMost = 65536;

constexpr std::size_t kAnswerSize = 24;
constexpr std::size_t kAnswerCookie = 4;

}  // namespace

std::string uuid_text(const Greeting& greeting) {
  std::string out;
  for (std::size_t i = 0; i < greeting.uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", std::to_integer<unsigned>(greeting.uuid[i]));
  }
  return out;
}

std::size_t GreetingReader::wanted() const {
  if (taken_ < kSizeSize) return kSizeSize - taken_;
  return load(known_, 0, kSizeSize) - taken_;
}

Expected<void> GreetingReader::take(ByteSpan bytes) {
  const std::size_t room = kKnown - std::min(kKnown, taken_);
  const ByteSpan kept = bytes.first(std::min(room, bytes.size()));
  known_.insert(known_.end(), kept.begin(), kept.end());
  taken_ += bytes.size();
  if (taken_ < kSizeSize) return {};
  const std::uint64_t size = load(known_, 0, kSizeSize);
  if (size >= kLeast && size <= kMost && taken_ <= size) return {};
  return fail(Errc::protocol, fmt::format("its handshake is said to have {} bytes", size), {},
              "what connected may be no QEMU with KVMi");
}

Greeting GreetingReader::result() const {
  Greeting out{.size = static_cast<std::uint32_t>(load(known_, 0, kSizeSize)),
               .start_time = static_cast<std::int64_t>(load(known_, kStartTime, 8))};
  for (std::size_t i = 0; i < out.uuid.size(); ++i)
    out.uuid[i] = static_cast<std::byte>(load(known_, kUuid + i, 1));
  for (std::size_t i = 0; i < kNameSize; ++i) {
    const auto letter = static_cast<char>(load(known_, kName + i, 1));
    if (letter == '\0') break;
    out.name += letter;
  }
  // A longer one is that of QEMU 2.11, which has a list of memory ranges there.
  if (out.size == kKnown) out.max_gpa = load(known_, kMaxGpa, 8);
  return out;
}

Bytes greeting_answer(const std::optional<Sha1>& cookie) {
  Bytes out(kAnswerSize);
  store(out, 0, kSizeSize, kAnswerSize);
  if (cookie) std::ranges::copy(*cookie, out.begin() + kAnswerCookie);
  return out;
}

}  // namespace microvmi::kvm
