// SPDX-License-Identifier: Apache-2.0
// What the answers of QEMU's query commands mean: pure functions over what a Qmp returned.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/address.hpp"
#include "microvmi/error.hpp"

namespace microvmi::qemu {

// A row of query-memdev: a memory backend, -m's own among them ("pc.ram").
struct MemoryBackend {
  std::string id;  // empty where QEMU knows none
  std::uint64_t size = 0;
  bool share = false;
};
[[nodiscard]] Expected<std::vector<MemoryBackend>> parse_memdev(const nlohmann::json& answer);

// A row of query-memory-devices: memory in a slot.
struct MemoryDevice {
  std::string type;     // "dimm", "nvdimm", "virtio-mem", "virtio-pmem", ...
  std::string id;       // may be empty
  std::string backend;  // the id of its memory backend, without "/objects/"
  std::optional<Gpa> gpa = std::nullopt;
  std::uint64_t size = 0;
};
[[nodiscard]] Expected<std::vector<MemoryDevice>> parse_memory_devices(
    const nlohmann::json& answer);

// query-memory-size-summary
struct MemorySizes {
  std::uint64_t base = 0;
  std::uint64_t plugged = 0;
};
[[nodiscard]] Expected<MemorySizes> parse_memory_sizes(const nlohmann::json& answer);

// query-status
struct Status {
  std::string name;  // "running", "paused", "prelaunch", ...
  bool running = false;
};
[[nodiscard]] Expected<Status> parse_status(const nlohmann::json& answer);

// query-name; nullopt for a guest without one
[[nodiscard]] Expected<std::optional<std::string>> parse_name(const nlohmann::json& answer);

// query-uuid; nullopt for the UUID of zeros, which is what a guest without one has
[[nodiscard]] Expected<std::optional<std::string>> parse_uuid(const nlohmann::json& answer);

// query-version, and the greeting
struct Version {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t micro = 0;
  std::string package;
};
[[nodiscard]] Expected<Version> parse_version(const nlohmann::json& answer);

// A row of query-cpus-fast.
struct Vcpu {
  std::uint32_t index = 0;
  std::uint32_t thread = 0;  // host thread id; one for all under single-threaded TCG
  std::string target;        // "x86_64"
};
[[nodiscard]] Expected<std::vector<Vcpu>> parse_cpus(const nlohmann::json& answer);

// HMP gpa2hva: where the page of `gpa` lies inside QEMU. Errc::hole where there is no memory.
struct HostAddress {
  std::uint64_t hva = 0;
  std::string region;
};
[[nodiscard]] Expected<HostAddress> parse_gpa2hva(std::string_view text, Gpa gpa);

}  // namespace microvmi::qemu
