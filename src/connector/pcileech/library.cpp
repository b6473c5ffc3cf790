// SPDX-License-Identifier: Apache-2.0
// Looking for leechcore.so without loading it. ldconfig lists no library whose name does not begin
// with lib, so that the folders themselves are looked at.
#include "connector/pcileech/library.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>
#include <vector>

#include "host/linux/helper_program.hpp"

namespace microvmi::pcileech_connector {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "leechcore.so";
constexpr const char* kHint =
    "build it from github.com/ufrisk/LeechCore and name it in memflow.pcileech.library";

void add_path_list(std::vector<fs::path>& into, const char* list) {
  std::string_view rest = list ? list : "";
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(':'));
    // An empty or relative entry is the current folder's, where anybody may have put it.
    if (one.starts_with('/')) into.emplace_back(one);
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
  }
}

// LD_LIBRARY_PATH; beside us; where ld.so(8) looks; where the archives of MemProcFS and PCILeech,
// which bring it, are commonly unpacked.
std::vector<fs::path> folders() {
  std::vector<fs::path> out;
  add_path_list(out, std::getenv("LD_LIBRARY_PATH"));
  if (const fs::path own = host::own_folder(); !own.empty()) out.push_back(own);
  for (const char* folder :
       {"/usr/local/lib", "/usr/local/lib/" MICROVMI_MULTIARCH, "/lib/" MICROVMI_MULTIARCH,
        "/usr/lib/" MICROVMI_MULTIARCH, "/lib64", "/usr/lib64", "/lib", "/usr/lib",
        "/opt/leechcore", "/opt/memprocfs", "/opt/pcileech"})
    out.emplace_back(folder);
  return out;
}

bool is_file(const fs::path& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec);
}

}  // namespace

Expected<fs::path> find_library(const std::optional<fs::path>& named) {
  if (named) {
    std::error_code ec;
    fs::path absolute = fs::absolute(*named, ec);  // without a slash dlopen would search
    if (is_file(absolute)) return absolute;
    return fail(Errc::not_found, "there is no file " + absolute.string(), {}, kHint);
  }
  std::string looked;
  for (const fs::path& folder : folders()) {
    if (is_file(folder / kName)) return folder / kName;
    looked += (looked.empty() ? "" : ", ") + folder.string();
  }
  return fail(Errc::not_found, fmt::format("{} is not installed; looked for in {}", kName, looked),
              {}, kHint);
}

}  // namespace microvmi::pcileech_connector
