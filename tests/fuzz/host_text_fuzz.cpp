// SPDX-License-Identifier: Apache-2.0
// The texts of /proc that another user can shape: maps, stat and the list of unix sockets.
#include <cstdlib>
#include <string_view>

#include "host/linux/maps.hpp"
#include "host/linux/proc.hpp"

namespace host = microvmi::host;

namespace {

void require(bool good) {
  if (!good) std::abort();
}

void check_maps(std::string_view text) {
  std::uint64_t end = 0;
  for (const host::Mapping& mapping : host::parse_maps(text)) {
    require(mapping.start >= end && mapping.start < mapping.end);
    end = mapping.end;
  }
}

void check_stat(std::string_view text) {
  const auto stat = host::parse_stat(text);
  if (stat) require(stat->comm.size() < text.size());
}

void check_sockets(std::string_view text) {
  std::uint64_t last = 0;
  for (const host::UnixEndpoint& endpoint : host::parse_unix_sockets(text)) {
    require(endpoint.inode != 0 && endpoint.inode != last && !endpoint.path.empty());
    last = endpoint.inode;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0:
      check_maps(text);
      break;
    case 1:
      check_stat(text);
      break;
    default:
      check_sockets(text);
  }
  return 0;
}
