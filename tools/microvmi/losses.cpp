// SPDX-License-Identifier: Apache-2.0
// A dump looks whole whatever its source lacked, so that it is told when it is made.
#include "losses.hpp"

#include <fmt/format.h>

#include "output.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

// What an image ends before is in no map.
void note_what_the_source_lacks(const GuestInfo& info) {
  for (const Fact& fact : info.facts) {
    const auto* bytes = std::get_if<std::uint64_t>(&fact.value);
    if (bytes && fact.name == "missing_bytes")
      note(fmt::format("the image is cut off: {} bytes of memory are not in it, nor in this dump",
                       *bytes));
    if (bytes && fact.name == "bytes_past_last_page")
      note(fmt::format("the image ends within a page: its last {} bytes are not in this dump",
                       *bytes));
    if (bytes && fact.name == "bytes_in_parts_of_pages")
      note(fmt::format("of some pages the image has only a part: {} bytes are not in this dump",
                       *bytes));
  }
}

}  // namespace

void note_losses(const GuestInfo& source, const DumpReport& report) {
  note_what_the_source_lacks(source);
  if (report.padded != 0)
    note(
        fmt::format("{} without memory became zeros in this raw dump; an ELF dump would leave "
                    "them out",
                    human_size(report.padded)));
  if (report.unreadable != 0)
    note(fmt::format("{} could not be read, first at {}", human_size(report.unreadable),
                     hex(to_integer(report.first_unreadable.value_or(Gpa{})))));
  if (report.no_registers)
    note("no registers are in this dump: " + microvmi::to_text(*report.no_registers));
}

}  // namespace microvmi::tool
