// SPDX-License-Identifier: Apache-2.0
// Which format a file has: by its magic, then by its suffix; those that are only known by name too.
#include <algorithm>
#include <array>

#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {
namespace {

using namespace std::string_view_literals;

// What begins with these is told by name; the numbers are little endian, as in the files.
struct Known {
  std::string_view magic;
  const char* what;
};
constexpr std::array kKnown{
    Known{"PAGEDU64"sv, "a Windows crash dump (64-bit)"},
    Known{"PAGEDUMP"sv, "a Windows crash dump (32-bit)"},
    Known{"MDMP"sv, "a Windows user minidump, which holds one process"},
    Known{"KDUMP   "sv, "a kdump-compressed dump"},
    Known{"DISKDUMP"sv, "a diskdump"},
    Known{"makedumpfile\0\0\0\0"sv, "a flattened dump of makedumpfile"},
    Known{"EMiL"sv, "a LiME image"},
    Known{"AVML"sv, "an AVML image"},
    Known{"QEVM"sv, "a QEMU migration stream"},
    Known{"LibvirtQemudSave"sv, "a libvirt save image"},
    Known{"LibvirtQemudPart"sv, "an unfinished libvirt save image"},
    Known{"\xd0\xbe\xd0\xbe"sv, "a VMware checkpoint (.vmss, .vmsn)"},
    Known{"\xd0\xbe\xd2\xbe"sv, "a VMware checkpoint (.vmss, .vmsn)"},
    Known{"\xd2\xbe\xd2\xbe"sv, "a VMware checkpoint (.vmss, .vmsn)"},
    Known{"\xd3\xbe\xd3\xbe"sv, "a VMware checkpoint (.vmss, .vmsn)"},
    Known{"\xd1\xba\xd1\xba"sv, "a VMware checkpoint (.vmss, .vmsn)"},
    Known{"\xd2\xba\xd2\xba"sv, "a VMware checkpoint (.vmss, .vmsn)"},
    Known{"HIBR"sv, "a Windows hibernation file"},
    Known{"hibr"sv, "a Windows hibernation file"},
    Known{"WAKE"sv, "a Windows hibernation file"},
    Known{"wake"sv, "a Windows hibernation file"},
    Known{"RSTR"sv, "a Windows hibernation file"},
    Known{"\x14\x20\x28\x01"sv, "a Hyper-V saved state"},
    Known{"HPAK"sv, "an HPAK image"},
    Known{"\xed\xeb\x0f\xf0"sv, "a core of Xen in its old format"},
    Known{"\xee\xeb\x0f\xf0"sv, "a core of Xen in its old format"},
};

const Known* known(const Source& source) {
  const auto* found = std::ranges::find_if(
      kKnown, [&source](const Known& one) { return source.has(0, one.magic); });
  return found == kKnown.end() ? nullptr : found;
}

const std::array<const Format*, 2>& formats() {
  static const std::array<const Format*, 2> all{&elf_format(), &raw_format()};
  return all;
}

constexpr const char* kRawHint =
    "with memflow.coredump.format=raw every byte is taken for the one at its own address";

}  // namespace

Expected<const Format*> choose(const Source& source) {
  const Known* const other = known(source);
  const DumpFormat wanted = source.params.format;
  if (wanted == DumpFormat::detect && other)
    return fail(Errc::not_supported,
                source.name() + " is " + other->what + "; this build reads elf and raw", {},
                "convert it to one of these first");
  for (const Format* format : formats()) {
    if (wanted == DumpFormat::detect ? !format->recognises(source) : format->type() != wanted)
      continue;
    if (other) source.log(std::string("is read as asked, though it looks like ") + other->what);
    return format;
  }
  return fail(Errc::invalid_argument,
              "nothing in " + source.name() + " or in its name tells how memory lies in it", {},
              kRawHint);
}

}  // namespace microvmi::coredump_connector
