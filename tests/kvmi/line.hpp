// SPDX-License-Identifier: Apache-2.0
// Line: a simulated guest and the socket path at which the kvm driver waits for it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "microvmi/init.hpp"
#include "support/kvmi_peer/peer.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::test::kvmi {

using namespace std::chrono_literals;

// Only what never comes is missed.
inline constexpr auto kPatient = std::chrono::milliseconds(30s);

struct Line {
  explicit Line(PeerOptions options = {}, Guest guest = usual_guest())
      : peer(
            [&] {
              options.path = path();
              return std::move(options);
            }(),
            std::move(guest)) {}
  explicit Line(const KernelSetup& setup, Guest guest = usual_guest())
      : Line(PeerOptions{.kernel = setup}, std::move(guest)) {}

  [[nodiscard]] std::filesystem::path path() const { return folder.path() / "kvmi"; }

  [[nodiscard]] KvmInitParams params() const {
    return {.transport = UnixSocket{.path = path()}, .timeout = kPatient};
  }

  [[nodiscard]] std::expected<Vm, InitError> open(const InitOptions& options = {}) const {
    return open(params(), options);
  }
  [[nodiscard]] static std::expected<Vm, InitError> open(const KvmInitParams& how,
                                                         const InitOptions& options = {}) {
    return init(DriverType::kvm, {.kvm = how}, options);
  }

  TempFolder folder;
  Peer peer;
};

// A line and the guest on it, opened.
struct OpenLine : Line {
  explicit OpenLine(PeerOptions options = {}, Guest guest = usual_guest())
      : Line(std::move(options), std::move(guest)) {
    auto opened = open();
    if (opened)
      vm.emplace(*std::move(opened));
    else
      ADD_FAILURE() << to_text(opened.error());
  }
  explicit OpenLine(const KernelSetup& setup, Guest guest = usual_guest())
      : OpenLine(PeerOptions{.kernel = setup}, std::move(guest)) {}

  // Closes it and waits until the kernel knows.
  std::vector<std::string> close() {
    vm.reset();
    EXPECT_TRUE(peer.wait_detached());
    return peer.leftovers();
  }

  PhysicalMemory& memory() { return vm->memory(); }

  std::optional<Vm> vm;
};

// The next event, which has to be of that kind.
template <class E>
std::optional<Caught<E>> take(Vm& vm, std::chrono::milliseconds time = kPatient) {
  auto event = vm.next_event(Wait::at_most(time));
  if (!event) {
    ADD_FAILURE() << to_text(event.error());
    return std::nullopt;
  }
  if (auto* one = std::get_if<Caught<E>>(&*event)) return std::move(*one);
  ADD_FAILURE() << name_of(*event) << " instead of " << E::kName;
  return std::nullopt;
}

inline std::vector<std::byte> bytes_of(const Bytes& from) {
  std::vector<std::byte> out;
  for (const std::uint8_t one : from) out.push_back(std::byte{one});
  return out;
}

// No two aligned words of it are the same.
inline Bytes pattern(std::size_t size, std::uint64_t first = 0) {
  Bytes out;
  for (std::uint64_t word = 0; out.size() < size; ++word)
    append(out, 0x5a00'0000'0000 + first + 8 * word);
  out.resize(size);
  return out;
}

inline std::string dialect_name(Dialect dialect) {
  return dialect == Dialect::v6 ? "v6" : dialect == Dialect::v7 ? "v7" : "v12";
}

// Tests that hold for each dialect.
class EachDialect : public testing::TestWithParam<Dialect> {};

}  // namespace microvmi::test::kvmi

#define MICROVMI_EACH_DIALECT(Suite)                                                            \
  INSTANTIATE_TEST_SUITE_P(                                                                     \
      Dialects, Suite,                                                                          \
      testing::Values(::microvmi::test::kvmi::Dialect::v6, ::microvmi::test::kvmi::Dialect::v7, \
                      ::microvmi::test::kvmi::Dialect::v12),                                    \
      [](const auto& one) { return dialect_name(one.param); })
