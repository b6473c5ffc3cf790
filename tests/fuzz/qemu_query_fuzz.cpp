// SPDX-License-Identifier: Apache-2.0
// Any JSON and any line of a monitor is an answer or an error.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "qemu/query.hpp"
#include "qemu/tcp_table.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace microvmi;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto found = qemu::parse_gpa2hva(text, Gpa{0x1000}); found && found->hva == 0)
    std::abort();
  static_cast<void>(qemu::find_tcp(text, {"0100007F:115C"}, {"0100007F:C350"}));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) return 0;
  static_cast<void>(qemu::parse_memdev(json).has_value());
  static_cast<void>(qemu::parse_memory_devices(json).has_value());
  static_cast<void>(qemu::parse_memory_sizes(json).has_value());
  static_cast<void>(qemu::parse_status(json).has_value());
  static_cast<void>(qemu::parse_name(json).has_value());
  static_cast<void>(qemu::parse_uuid(json).has_value());
  static_cast<void>(qemu::parse_version(json).has_value());
  static_cast<void>(qemu::parse_cpus(json).has_value());
  return 0;
}
