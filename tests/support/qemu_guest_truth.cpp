// SPDX-License-Identifier: Apache-2.0
// What a QemuGuest asks its own monitor for.
#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>
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

std::vector<MemoryRegion> QemuGuest::ram() {
  const std::string mtree = truth_.human("info mtree -f").value_or("");
  std::vector<MemoryRegion> regions;
  const std::regex row("^  ([0-9a-f]{16})-([0-9a-f]{16}) \\(prio -?[0-9]+, ram\\):");
  std::istringstream lines(mtree.substr(std::min(mtree.find("root: system"), mtree.size())));
  for (std::string line; std::getline(lines, line) && !line.starts_with("FlatView");) {
    std::smatch found;
    if (!std::regex_search(line, found, row)) continue;
    if (line.find("bios") != std::string::npos) continue;  // firmware that may be written to
    const std::uint64_t first = std::stoull(found[1], nullptr, 16);
    const std::uint64_t size = std::stoull(found[2], nullptr, 16) - first + 1;
    if (!regions.empty() && regions.back().end() == Gpa{first})
      regions.back().size += size;
    else
      regions.push_back({.gpa = Gpa{first}, .size = size});
  }
  return regions;
}

Outcome<void> QemuGuest::plug_dimm(const std::string& id, std::uint64_t size) {
  auto made = only_done(truth_.execute(
      "object-add", {{"qom-type", "memory-backend-ram"}, {"id", "ram-" + id}, {"size", size}}));
  if (!made) return made;
  return only_done(
      truth_.execute("device_add", {{"driver", "pc-dimm"}, {"id", id}, {"memdev", "ram-" + id}}));
}

}  // namespace microvmi::test
