// SPDX-License-Identifier: Apache-2.0
// What a QemuGuest asks its own monitor for.
#include <algorithm>
#include <fstream>
#include <utility>

#include "support/qemu_guest.hpp"

namespace microvmi::test {
namespace {

Outcome<void> only_done(Outcome<nlohmann::json> answer) {
  if (!answer) return std::unexpected(std::move(answer.error()));
  return {};
}

}  // namespace

Outcome<void> QemuGuest::stop() { return only_done(truth_.execute("stop")); }

Outcome<void> QemuGuest::cont() { return only_done(truth_.execute("cont")); }

Outcome<bool> QemuGuest::running() {
  const auto status = truth_.execute("query-status");
  if (!status) return std::unexpected(status.error());
  return status->value("running", false);
}

Outcome<std::vector<std::byte>> QemuGuest::memory(std::uint64_t gpa, std::uint64_t size) {
  const auto file = folder() / ("save" + std::to_string(saves_++));
  const auto saved =
      truth_.execute("pmemsave", {{"val", gpa}, {"size", size}, {"filename", file.string()}});
  if (!saved) return std::unexpected(saved.error());
  std::vector<std::byte> bytes(size);
  std::ifstream in(file, std::ios::binary);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  const auto got = static_cast<std::uint64_t>(in.gcount());
  std::filesystem::remove(file);
  if (got != size) return std::unexpected("pmemsave wrote " + std::to_string(got) + " bytes");
  return bytes;
}

Outcome<void> QemuGuest::plug_dimm(const std::string& id, std::uint64_t size) {
  auto made = only_done(truth_.execute(
      "object-add", {{"qom-type", "memory-backend-ram"}, {"id", "ram-" + id}, {"size", size}}));
  if (!made) return made;
  return only_done(
      truth_.execute("device_add", {{"driver", "pc-dimm"}, {"id", id}, {"memdev", "ram-" + id}}));
}

}  // namespace microvmi::test
