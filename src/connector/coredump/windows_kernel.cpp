// SPDX-License-Identifier: Apache-2.0
// KdDebuggerDataBlock -> KiProcessorBlock[] -> KPRCB -> CONTEXT*, through the page tables.
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
constexpr std::size_t kPrcbContext = 0x338;     // OffsetPrcbContext

constexpr std::size_t kContextSize = 0x100;  // of CONTEXT, what is taken of it
constexpr std::uint32_t kMostVcpus = 4096;   // more than any Windows runs on

class Kernel {
 public:
  Kernel(PhysicalMemory& memory, std::uint64_t dtb)
      : memory_(memory, {.cr3 = dtb, .mode = PagingMode::four_level}) {}

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
    for (std::uint32_t i = 0; i < std::min(vcpus, kMostVcpus); ++i)
      out.vcpus.push_back(vcpu(processors + i * sizeof(std::uint64_t), context));
    return out;
  }

 private:
  Registers vcpu(std::uint64_t entry, std::uint16_t context) {
    const auto prcb = memory_.read_value<std::uint64_t>(Gva{entry});
    if (!prcb || *prcb == 0) return {};
    const auto saved = memory_.read_value<std::uint64_t>(Gva{*prcb + context});
    std::array<std::byte, kContextSize> bytes{};
    if (!saved || *saved == 0 || !memory_.read(Gva{*saved}, bytes)) return {};
    return windows_context64(bytes);
  }

  VirtualMemory memory_;
};

bool are_same(const Registers& a, const Registers& b) {
  return a[Reg::rip] && a[Reg::rip] == b[Reg::rip] && a[Reg::rsp] == b[Reg::rsp];
}

}  // namespace

WindowsKernel look_at_windows(PhysicalMemory& memory, const WindowsHeader& header) {
  constexpr std::uint32_t kAmd64 = 0x8664;
  if (header.bits != 64 || header.machine != kAmd64 || !header.kdbg) return {};
  return Kernel(memory, header.dtb).look(*header.kdbg, header.vcpus.value_or(0));
}

std::vector<Registers> merge_vcpus(std::vector<Registers> kernels, const Registers& headers) {
  if (headers.known().none()) return kernels;
  const auto same = std::ranges::find_if(
      kernels, [&headers](const Registers& one) { return are_same(one, headers); });
  if (same == kernels.end()) return {headers};
  *same = headers;
  return kernels;
}

}  // namespace microvmi::coredump_connector
