// SPDX-License-Identifier: Apache-2.0
// KdDebuggerDataBlock -> KiProcessorBlock[] -> KPRCB -> CONTEXT* and the special registers, through
// the page tables.
#include "connector/coredump/windows_kernel.hpp"

#include <algorithm>
#include <array>

#include "connector/coredump/fields.hpp"
#include "connector/coredump/windows_context.hpp"
#include "microvmi/address_space.hpp"

namespace microvmi::coredump_connector {
namespace {

// KDDEBUGGER_DATA64 of wdbgexts.h.
constexpr std::size_t kBlockSize = 0x33A;  // as far as it is looked at
constexpr std::size_t kOwnerTag = 0x10;
constexpr std::size_t kSize = 0x14;
constexpr std::size_t kKernBase = 0x18;
constexpr std::size_t kProcessorBlock = 0x218;  // KiProcessorBlock
constexpr std::size_t kPrcbSpecial = 0x2F2;     // OffsetPrcbProcStateSpecialReg
constexpr std::size_t kPrcbContext = 0x338;     // OffsetPrcbContext

constexpr std::size_t kContextSize = 0x100;        // of CONTEXT, what is taken of it
constexpr std::uint32_t kMostWindowsVcpus = 4096;  // more than any Windows runs on

// KSPECIAL_REGISTERS of ntddk.h. A descriptor table is six bytes of padding, its limit, its base.
constexpr std::size_t kSpecialSize = 0xD8;
constexpr std::array kSpecials{
    RegisterField{Reg::cr0, 0x00, 8},       RegisterField{Reg::cr2, 0x08, 8},
    RegisterField{Reg::cr3, 0x10, 8},       RegisterField{Reg::cr4, 0x18, 8},
    RegisterField{Reg::gdt_limit, 0x56, 2}, RegisterField{Reg::gdt_base, 0x58, 8},
    RegisterField{Reg::idt_limit, 0x66, 2}, RegisterField{Reg::idt_base, 0x68, 8},
    RegisterField{Reg::tr, 0x70, 2},        RegisterField{Reg::ldt, 0x72, 2},
    RegisterField{Reg::gs_base, 0xA8, 8},   RegisterField{Reg::kernel_gs_base, 0xB0, 8},
    RegisterField{Reg::star, 0xB8, 8},      RegisterField{Reg::lstar, 0xC0, 8},
    RegisterField{Reg::cstar, 0xC8, 8},     RegisterField{Reg::fmask, 0xD0, 8}};

// What a processor that runs Windows has in them; anything else was never saved.
bool are_saved(const Registers& special) {
  constexpr std::uint64_t kPaging = 0x8000'0001;  // CR0.PG and PE
  constexpr std::uint64_t kPae = 1U << 5;         // of CR4
  constexpr std::uint64_t kAddress = (1ULL << 52) - 1;
  const std::uint64_t cr3 = *special[Reg::cr3] & ~(1ULL << 63);
  return (*special[Reg::cr0] & kPaging) == kPaging && (*special[Reg::cr4] & kPae) != 0 &&
         cr3 >= kPageSize && cr3 <= kAddress;
}

// Of `from`, what `into` lacks.
void add_unknown(Registers& into, const Registers& from) {
  for (const RegisterInfo& info : kRegisters)
    if (from[info.reg] && !into[info.reg]) into.set(info.reg, *from[info.reg]);
}

class Kernel {
 public:
  Kernel(PhysicalMemory& memory, std::uint64_t dtb, bool has_crashed)
      : memory_(memory, {.cr3 = dtb, .mode = PagingMode::four_level}), has_crashed_(has_crashed) {}

  WindowsKernel look(std::uint64_t kdbg, std::uint32_t vcpus) {
    WindowsKernel out;
    std::array<std::byte, kBlockSize> bytes{};
    if (!memory_.read(Gva{kdbg}, bytes)) return out;
    const Fields block(bytes);
    if (block.text(kOwnerTag, 4) != "KDBG" || block.get<std::uint32_t>(kSize) < kBlockSize)
      return out;
    out.base = block.get<std::uint64_t>(kKernBase);
    const auto processors = block.get<std::uint64_t>(kProcessorBlock);
    const auto context = block.get<std::uint16_t>(kPrcbContext);
    const auto special = block.get<std::uint16_t>(kPrcbSpecial);
    for (std::uint32_t i = 0; i < std::min(vcpus, kMostWindowsVcpus); ++i) {
      const auto prcb =
          memory_.read_value<std::uint64_t>(Gva{processors + i * sizeof(std::uint64_t)});
      Registers& one = out.vcpus.emplace_back();
      if (!prcb || *prcb == 0) continue;
      one = saved_context(Gva{*prcb + context});
      if (has_crashed_ && special != 0) add_unknown(one, special_registers(Gva{*prcb + special}));
    }
    return out;
  }

 private:
  Registers saved_context(Gva pointer) {
    const auto saved = memory_.read_value<std::uint64_t>(pointer);
    std::array<std::byte, kContextSize> bytes{};
    if (!saved || *saved == 0 || !memory_.read(Gva{*saved}, bytes)) return {};
    return windows_context64(bytes);
  }

  Registers special_registers(Gva place) {
    std::array<std::byte, kSpecialSize> bytes{};
    Registers out;
    if (!memory_.read(place, bytes)) return out;
    take(out, Fields(bytes), kSpecials);
    return are_saved(out) ? out : Registers();
  }

  VirtualMemory memory_;
  bool has_crashed_;
};

bool are_same(const Registers& a, const Registers& b) {
  return a[Reg::rip] && a[Reg::rip] == b[Reg::rip] && a[Reg::rsp] == b[Reg::rsp];
}

}  // namespace

WindowsKernel look_at_windows(PhysicalMemory& memory, const WindowsHeader& header) {
  constexpr std::uint32_t kAmd64 = 0x8664;
  if (header.bits != 64 || header.machine != kAmd64 || !header.kdbg) return {};
  // Processors save them when they are frozen: where nothing has crashed, they are of long ago.
  constexpr std::uint32_t kLiveSystemDump = 0x161;  // bugcodes.h
  const std::uint32_t bugcheck = header.bugcheck.value_or(0);
  return Kernel(memory, header.dtb, bugcheck != 0 && bugcheck != kLiveSystemDump)
      .look(*header.kdbg, header.vcpus.value_or(0));
}

std::vector<Registers> merge_vcpus(std::vector<Registers> kernels, const Registers& headers) {
  if (headers.known().none()) return kernels;
  const auto same = std::ranges::find_if(
      kernels, [&headers](const Registers& one) { return are_same(one, headers); });
  if (same == kernels.end()) return {headers};
  Registers whole = headers;
  add_unknown(whole, *same);
  *same = whole;
  return kernels;
}

}  // namespace microvmi::coredump_connector
