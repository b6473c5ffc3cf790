// SPDX-License-Identifier: Apache-2.0
// The lines that help to begin with a guest become facts; the text is kept whole.
#include "connector/coredump/vmcoreinfo.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace microvmi::coredump_connector {
namespace {

struct Line {
  std::string_view key;
  const char* fact;
  const char* prefix;  // numbers are written in hexadecimal without saying so
};

constexpr std::array kLines{Line{"OSRELEASE=", "os_release", ""},
                            Line{"BUILD-ID=", "build_id", ""},
                            Line{"KERNELOFFSET=", "kernel_offset", "0x"},
                            Line{"SYMBOL(_stext)=", "kernel_base", "0x"},
                            Line{"SYMBOL(swapper_pg_dir)=", "kernel_page_table", "0x"},
                            Line{"NUMBER(phys_base)=", "phys_base", ""},
                            Line{"CRASHTIME=", "crash_time", ""}};

}  // namespace

void add_vmcoreinfo(GuestInfo& info, std::string_view text) {
  info.facts.push_back({"vmcoreinfo", true});
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    for (const Line& one : kLines)
      if (line.starts_with(one.key))
        info.facts.push_back({one.fact, one.prefix + std::string(line.substr(one.key.size()))});
  }
  info.vmcoreinfo = std::string(text);
}

}  // namespace microvmi::coredump_connector
