// SPDX-License-Identifier: Apache-2.0
// Opening: hold the process, find its memory, then its vCPUs.
#include "connector/kvm/guest.hpp"

#include <fmt/format.h>

#include "connector/kvm/layout.hpp"

namespace microvmi::kvm_connector {
namespace {

// A later look at the layout has this long; only a QEMU without BPF needs it.
constexpr std::chrono::seconds kLaterLook{2};

const char* source_of(const SlotLayout& layout) {
  return layout.source() == SlotLayout::Source::slots ? "kvm_slots" : "qemu";
}

GuestInfo describe(const VmProcess& process, const SlotLayout& layout,
                   const host::ProcessMemory& memory) {
  GuestInfo info{.vm_name = process.name,
                 .pid = process.pid,
                 .vcpus = process.vcpus,
                 .connector = "kvm",
                 .facts = {{"program", process.program},
                           {"memory_mode", std::string(memory.viewable() ? "view" : "copy")},
                           {"layout_source", std::string(source_of(layout))}}};
  if (layout.source() == SlotLayout::Source::slots)
    info.facts.push_back({"slots_load_us", static_cast<std::uint64_t>(layout.load_time().count())});
  if (!layout.notes().empty())
    info.facts.push_back({"note", fmt::format("{}", fmt::join(layout.notes(), "; "))});
  return info;
}

// What would let more be done with the vCPUs.
void add_hint(GuestInfo& info, Intrusive intrusive) {
  if (intrusive == Intrusive::none)
    info.facts.push_back({"hint", "pausing and registers need intrusive = sync-regs or inject"});
  if (intrusive == Intrusive::sync_regs)
    info.facts.push_back(
        {"hint", "MSRs, XSAVE areas and writing registers need intrusive = inject"});
}

}  // namespace

Expected<std::unique_ptr<Driver>> Guest::open(const VmProcess& process, Intrusive intrusive,
                                              const InitOptions& options) {
  auto held = host::Process::open(process.pid, process.start_time);
  if (!held) return std::unexpected(held.error());
  auto opened = SlotLayout::open(process);
  if (!opened) return std::unexpected(opened.error());
  const auto layout = std::make_shared<SlotLayout>(*std::move(opened));
  const auto wait = std::make_shared<std::optional<Wait>>(options.wait);
  const auto find = [layout, wait] {
    return layout->find(wait->value_or(Wait::at_most(kLaterLook)));
  };
  const bool slots = layout->source() == SlotLayout::Source::slots;
  auto memory =
      host::ProcessMemory::open(*std::move(held), find, host::CopyMode::mapping,
                                slots ? host::ChangeToldBy::source : host::ChangeToldBy::mappings);
  if (!memory) return std::unexpected(memory.error());
  wait->reset();
  GuestInfo info = describe(process, *layout, **memory);
  std::unique_ptr<Vcpus> vcpus;
  if (intrusive != Intrusive::none) {
    auto found = Vcpus::open({process.pid, process.start_time, intrusive}, **memory);
    if (found)
      vcpus = *std::move(found);
    else
      info.facts.push_back({"vcpus_note", microvmi::to_text(found.error())});
  }
  add_hint(info, intrusive);
  if (options.log) options.log(fmt::format("kvm: opened {}", to_text(process)));
  return std::unique_ptr<Driver>(new Guest(*std::move(memory), std::move(vcpus), std::move(info)));
}

}  // namespace microvmi::kvm_connector
