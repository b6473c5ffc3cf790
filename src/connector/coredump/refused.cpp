// SPDX-License-Identifier: Apache-2.0
// Magics, little endian as they lie in the files; each from the program that is named beside it.
#include "connector/coredump/refused.hpp"

#include <algorithm>
#include <array>

namespace microvmi::coredump_connector {
namespace {

using namespace std::string_view_literals;

constexpr const char* kHibernation = "a Windows hibernation file";
constexpr const char* kHibernationHint =
    "MemProcFS reads those of Windows 10 and 11; Volatility 2 unpacks those of Windows 7 and "
    "before "
    "into a raw image (imagecopy)";  // Volatility 3 has no reader for them
constexpr const char* kUnpack = "unpack it first";
// RFC 1950: window and method, then level and check.
constexpr const char* kZlib = "packed by zlib";
constexpr const char* kZlibHint = "pigz -d < PACKED > IMAGE unpacks it";

constexpr std::array kRefused{
    Refused{0, "MDMP"sv, "a Windows user minidump, which holds one process and no physical memory",
            "open it with WinDbg, Visual Studio or lldb"},  // minidumpapiset.h
    Refused{0, "HIBR"sv, kHibernation, kHibernationHint},   // PO_MEMORY_IMAGE
    Refused{0, "hibr"sv, kHibernation, kHibernationHint},
    Refused{0, "WAKE"sv, kHibernation, kHibernationHint},
    Refused{0, "wake"sv, kHibernation, kHibernationHint},
    Refused{0, "RSTR"sv, kHibernation, kHibernationHint},
    Refused{0, "\x14\x20\x28\x01"sv, "a Hyper-V saved state (.vmrs)",
            "on Windows, MemProcFS opens it through Microsoft's vmsavedstatedumpprovider.dll, and "
            "writes a crash dump of it"},  // dissect.hypervisor
    Refused{0, "HPAK"sv, "an HPAK image of HBGary",
            "Volatility 2 unpacks it into a raw image (hpakextract)"},
    Refused{0, "sadump"sv, "a dump of Fujitsu's sadump",
            "makedumpfile writes a kdump of it, which can be read here"},  // crash, sadump.h
    Refused{0, "DISKDUMP"sv, "a dump of diskdump, which kdump has replaced",
            "crash opens it, and makedumpfile writes a kdump of it"},  // crash, diskdump.h
    Refused{0, "\xed\x23\x8f\x61\x73\x01\x19\xa8"sv, "a dump of LKCD", "crash opens it"},
    Refused{0, "\xa8\x19\x01\x73\x61\x8f\x23\xfd"sv, "a stand-alone dump of s390",
            "zgetdump (s390-tools) writes an ELF core of it"},
    Refused{0, "\xed\xeb\x0f\xf0"sv, "a core of Xen in the format of before 2007",
            "crash opens it"},
    Refused{0, "\xee\xeb\x0f\xf0"sv, "a core of Xen in the format of before 2007",
            "crash opens it"},
    Refused{0, "LinuxGuestRecord"sv, "a guest that xm or libxl saved (xl save)",
            "restore the guest, and dump it with xl dump-core"},  // libxc, xg_save_restore.h
    Refused{0, "Xenlight"sv, "a guest that xl saved",
            "restore the guest, and dump it with xl dump-core"},  // xl.h, SAVEFILE_MAGIC
    Refused{8, "XENF"sv, "a migration stream of Xen",
            "restore the guest, and dump it with xl dump-core"},  // libxc-migration-stream
    Refused{0, "LibvirtQemudPart"sv, "a libvirt save image that was not finished",
            "save the guest again"},  // libvirt, qemu_saveimage.h
    Refused{0, "\x7fVirtualBox SavedState"sv, "a saved state of VirtualBox",
            "resume the guest and dump it: VBoxManage debugvm NAME dumpvmcore"},  // SSM.cpp
    Refused{0, "QFI\xfb"sv, "a qcow2 disk image, even where it has a snapshot with memory",
            "load the snapshot in QEMU, and dump its memory"},  // qcow2.txt
    Refused{0, "\x38\x8d"sv, "packed by zlib, as LiME does it with compress=1", kZlibHint},
    Refused{0, "\x78\x01"sv, kZlib, kZlibHint},
    Refused{0, "\x78\x5e"sv, kZlib, kZlibHint},
    Refused{0, "\x78\x9c"sv, kZlib, kZlibHint},
    Refused{0, "\x78\xda"sv, kZlib, kZlibHint},
    Refused{0, "\x1f\x8b"sv, "packed by gzip", kUnpack},
    Refused{0,
            "\xfd"
            "7zXZ\0"sv,
            "packed by xz", kUnpack},
    Refused{0, "\x28\xb5\x2f\xfd"sv, "packed by zstd", kUnpack},
    Refused{0, "\x04\x22\x4d\x18"sv, "packed by lz4", kUnpack},
    Refused{0, "BZh"sv, "packed by bzip2", kUnpack},
    Refused{0, "PK\x03\x04"sv, "packed by zip", kUnpack},
    Refused{0, "7z\xbc\xaf\x27\x1c"sv, "packed by 7-Zip", kUnpack},
};

}  // namespace

const Refused* refused(const Source& source) {
  const auto* found = std::ranges::find_if(
      kRefused, [&source](const Refused& one) { return source.has(one.offset, one.magic); });
  return found == kRefused.end() ? nullptr : found;
}

}  // namespace microvmi::coredump_connector
