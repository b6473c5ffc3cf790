// SPDX-License-Identifier: Apache-2.0
// get_version's answer has grown, and command numbers have moved: by these the dialects differ.
#include "driver/kvm/negotiate.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace microvmi::kvm {
namespace {

// Command numbers that one dialect has and its neighbours lack.
constexpr std::uint16_t kSinglestepV7 = 63;      // KVMI_VCPU_CONTROL_SINGLESTEP
constexpr std::uint16_t kSetPageAccessV6 = 21;   // KVMI_SET_PAGE_ACCESS
constexpr std::uint16_t kGetMaxGfnV6 = 29;       // KVMI_GET_MAX_GFN
constexpr std::uint16_t kSetPageAccessV11 = 22;  // KVMI_VM_SET_PAGE_ACCESS, 20 in v12

// More than KVM allows on x86 (KVM_MAX_VCPUS).
constexpr std::uint64_t kMostVcpus = 4096;

std::unexpected<Error> refused(const std::string& seen) {
  return fail(Errc::not_supported, "this kernel speaks an unknown dialect of KVMi: " + seen, {},
              "v6, v7 and v12 are known");
}

Expected<std::int32_t> check(Connection& connection, std::uint16_t id, const Wait& wait) {
  Request request(Command::check_command, {{Field::command, id}});
  if (auto done = connection.run(std::span(&request, 1), wait); !done)
    return std::unexpected(std::move(done.error()));
  return request.code;
}

// A command that QEMU's list denies is one that the kernel knows.
bool is_known(std::int32_t code) { return code == 0 || code == -EPERM; }

Expected<Dialect> older(Connection& connection, const Wait& wait) {
  connection.speak(Dialect::v7);
  const auto singlestep = check(connection, kSinglestepV7, wait);
  if (!singlestep) return std::unexpected(singlestep.error());
  if (is_known(*singlestep)) return Dialect::v7;
  for (const std::uint16_t id : {kSetPageAccessV6, kGetMaxGfnV6}) {
    const auto code = check(connection, id, wait);
    if (!code) return std::unexpected(code.error());
    if (*code != 0)
      return refused(
          fmt::format("a version with features, without command {} (error {}) and {} "
                      "(error {}), as the list's v7 to v9 have it",
                      kSinglestepV7, *singlestep, id, *code));
  }
  return Dialect::v6;
}

Expected<Dialect> newer(Connection& connection, const Wait& wait) {
  connection.speak(Dialect::v12);
  const auto code = check(connection, kSetPageAccessV11, wait);
  if (!code) return std::unexpected(code.error());
  if (*code == -ENOENT) return Dialect::v12;
  return refused(
      fmt::format("messages of {} bytes and command {} (error {}), as v10 and v11 have "
                  "it",
                  kMostPayload, kSetPageAccessV11, *code));
}

Expected<Dialect> dialect_of(Connection& connection, const Version& version, const Wait& wait) {
  if (version.version == 0) return refused("version 0");
  if (!version.most_payload) {
    if (version.data.size() == 8) return Dialect::v6;
    return refused(fmt::format("version {} in {} bytes", version.version, version.data.size()));
  }
  if (*version.most_payload == 0) return older(connection, wait);
  if (*version.most_payload == kMostPayload) return newer(connection, wait);
  return refused(
      fmt::format("version {} with messages of {} bytes", version.version, *version.most_payload));
}

// QEMU says nothing of what it does not like: it hangs up.
Error explained(Error error) {
  if (error.code != Errc::disconnected) return error;
  error.message =
      "QEMU hung up after the handshake, before its kernel said which version it speaks";
  error.hint =
      "the secret may differ from the one of QEMU's -object introspection, or kernel and QEMU have "
      "different versions of KVMi, or KVM runs without kvm.introspection=1";
  return error;
}

}  // namespace

Expected<std::uint32_t> count_vcpus(Connection& connection, const Wait& wait) {
  const auto data = connection.call(Request(Command::get_info), wait);
  if (!data) return std::unexpected(data.error());
  const auto count =
      field_of(row(connection.dialect(), Command::get_info).answer, *data, Field::count);
  if (count == 0 || count > kMostVcpus)
    return fail(Errc::protocol, fmt::format("KVMi: a guest with {} vcpus", count));
  return static_cast<std::uint32_t>(count);
}

Expected<Abilities> negotiate(Connection& connection, const Wait& wait) {
  const auto data = connection.call(Request(Command::get_version), wait);
  if (!data) return std::unexpected(explained(data.error()));
  const Version version = parse_version(*data);
  const auto dialect = dialect_of(connection, version, wait);
  if (!dialect) return std::unexpected(dialect.error());
  connection.speak(*dialect);
  const Shape& answer = row(*dialect, Command::get_version).answer;
  Abilities out{.dialect = *dialect,
                .singlestep = field_of(answer, version.data, Field::singlestep) != 0,
                .views = field_of(answer, version.data, Field::eptp) != 0};
  const auto vcpus = count_vcpus(connection, wait);
  if (!vcpus) return std::unexpected(vcpus.error());
  out.vcpus = *vcpus;
  return out;
}

}  // namespace microvmi::kvm
