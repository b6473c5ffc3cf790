// SPDX-License-Identifier: Apache-2.0
// The method of RFC 3174 section 6.1.
#include "driver/kvm/sha1.hpp"

#include <bit>
#include <cstdint>
#include <vector>

namespace microvmi::kvm {
namespace {

constexpr std::size_t kBlock = 64;
using State = std::array<std::uint32_t, 5>;

// The message, a one bit, zeros, and the length in bits: whole blocks (section 4).
std::vector<std::byte> padded(std::span<const std::byte> message) {
  std::vector<std::byte> out(message.begin(), message.end());
  out.push_back(std::byte{0x80});
  while (out.size() % kBlock != kBlock - 8) out.push_back(std::byte{});
  const std::uint64_t bits = std::uint64_t{message.size()} * 8;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(bits >> shift));
  return out;
}

// f(t) and K(t) of section 5.
std::uint32_t mix(unsigned t, const State& s) {
  if (t < 20) return ((s[1] & s[2]) | (~s[1] & s[3])) + 0x5a827999;
  if (t < 40) return (s[1] ^ s[2] ^ s[3]) + 0x6ed9eba1;
  if (t < 60) return ((s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3])) + 0x8f1bbcdc;
  return (s[1] ^ s[2] ^ s[3]) + 0xca62c1d6;
}

void add_block(State& hash, std::span<const std::byte> block) {
  std::array<std::uint32_t, 80> words{};
  for (unsigned t = 0; t < 16; ++t)
    for (unsigned i = 0; i < 4; ++i)
      words[t] = words[t] << 8U | std::to_integer<std::uint32_t>(block[4 * t + i]);
  for (unsigned t = 16; t < words.size(); ++t)
    words[t] = std::rotl(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1);
  State s = hash;
  for (unsigned t = 0; t < words.size(); ++t) {
    const std::uint32_t next = std::rotl(s[0], 5) + mix(t, s) + s[4] + words[t];
    s = {next, s[0], std::rotl(s[1], 30), s[2], s[3]};
  }
  for (unsigned i = 0; i < hash.size(); ++i) hash[i] += s[i];
}

}  // namespace

Sha1 sha1(std::span<const std::byte> message) {
  State hash{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const auto blocks = padded(message);
  for (std::size_t at = 0; at < blocks.size(); at += kBlock)
    add_block(hash, std::span(blocks).subspan(at, kBlock));
  Sha1 out{};
  for (unsigned i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::byte>(hash[i / 4] >> (24 - 8 * (i % 4)));
  return out;
}

}  // namespace microvmi::kvm
