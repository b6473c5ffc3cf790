// SPDX-License-Identifier: Apache-2.0
// The slots before QEMU's word, which only a QEMU can give.
#include "connector/kvm/layout.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/linux/proc.hpp"

namespace microvmi::kvm_connector {
namespace {

// What a guest under AMD SEV keeps open; its VM's type says so only on newer kernels.
Expected<void> is_not_encrypted(std::uint32_t pid) {
  const auto files = host::open_files_of(pid);
  if (!files) return std::unexpected(files.error());
  const bool sev = std::ranges::any_of(
      *files, [](const host::OpenFile& one) { return one.target == "/dev/sev"; });
  if (sev)
    return fail(
        Errc::not_supported,
        fmt::format("the memory of pid {} is encrypted: it has /dev/sev open (AMD SEV)", pid));
  return {};
}

Expected<host::SlottedVm> choose(std::vector<host::SlottedVm> found, const VmProcess& process,
                                 std::optional<std::uint64_t> identity) {
  std::erase_if(found, [&](const host::SlottedVm& one) {
    return !one.own_memory || (identity && one.identity != *identity);
  });
  if (found.size() == 1) return std::move(found.front());
  if (!found.empty())
    return fail(Errc::not_supported,
                fmt::format("{} has {} virtual machines: no parameter says which", to_text(process),
                            found.size()));
  if (identity)
    return fail(Errc::disconnected,
                fmt::format("{} has closed its virtual machine", to_text(process)), {},
                "open the guest again");
  return fail(Errc::not_found,
              fmt::format("{} has a virtual machine open whose memory is another process's",
                          to_text(process)),
              {}, "open the process that made it: microvmi scan");
}

}  // namespace

Expected<SlotLayout> SlotLayout::open(const VmProcess& process) {
  if (auto done = is_not_encrypted(process.pid); !done) return std::unexpected(done.error());
  SlotLayout out(process);
  const auto start = std::chrono::steady_clock::now();
  auto reader = host::MemslotReader::open(process.pid);
  out.load_time_ = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  if (reader) {
    out.reader_ = *std::move(reader);
    return out;
  }
  const auto qemu = qemu::process_of(process.pid);
  if (!qemu) {
    Error error = reader.error();
    error.message = fmt::format("{} is no QEMU, and its memory slots are unknown: {}",
                                to_text(process), error.message);
    return std::unexpected(std::move(error));
  }
  auto finder = qemu::LayoutFinder::open(*qemu);
  if (!finder) return std::unexpected(finder.error());
  out.qemu_ = *std::move(finder);
  out.notes_ = {"memory slots: " + microvmi::to_text(reader.error())};
  return out;
}

Expected<host::Layout> SlotLayout::find(const Wait& wait) {
  if (reader_) return from_slots();
  const std::string reason = notes_.front();
  auto layout = qemu_->find(wait);
  notes_ = {reason};
  notes_.insert(notes_.end(), qemu_->notes().begin(), qemu_->notes().end());
  if (!layout) layout.error().message += "; " + reason;
  return layout;
}

Expected<host::Layout> SlotLayout::from_slots() {
  auto found = reader_->read();
  if (!found) return std::unexpected(found.error());
  const auto vm = choose(*std::move(found), process_, identity_);
  if (!vm) return std::unexpected(vm.error());
  const auto maps = host::read_maps(process_.pid);
  if (!maps) return std::unexpected(maps.error());
  auto view = view_of(*vm, *maps);
  if (!view) return std::unexpected(view.error());
  identity_ = vm->identity;
  notes_ = std::move(view->notes);
  return std::move(view->layout);
}

}  // namespace microvmi::kvm_connector
