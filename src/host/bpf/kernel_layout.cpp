// SPDX-License-Identifier: Apache-2.0
// The members of struct kvm_memslots in BTF.
#include "host/bpf/kernel_layout.hpp"

#include <bpf/btf.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "host/linux/descriptor.hpp"

namespace microvmi::host {
namespace {

struct Free {
  void operator()(btf* types) const { btf__free(types); }
};
using Types = std::unique_ptr<btf, Free>;

bool has_member(const btf* types, const btf_type* type, const char* name) {
  const btf_member* members = btf_members(type);
  for (unsigned i = 0; i < btf_vlen(type); ++i) {
    const char* text = btf__name_by_offset(types, members[i].name_off);
    if (text && std::strcmp(text, name) == 0) return true;
  }
  return false;
}

}  // namespace

Expected<SlotForm> slot_form_in(const btf* types) {
  const int id = btf__find_by_name_kind(types, "kvm_memslots", BTF_KIND_STRUCT);
  if (id < 0) return fail(Errc::not_found, "the kernel's types have no struct kvm_memslots");
  const btf_type* type = btf__type_by_id(types, static_cast<__u32>(id));
  if (has_member(types, type, "id_hash")) return SlotForm::hash;
  if (has_member(types, type, "memslots") && has_member(types, type, "used_slots"))
    return SlotForm::array;
  return fail(Errc::not_supported,
              "this kernel keeps its memory slots in a form that is not known here", {},
              "report the version of the kernel");
}

Expected<SlotForm> slot_form_of_kernel() {
  const Types kernel(btf__load_vmlinux_btf());
  if (!kernel) {
    Error error = system_failure(errno, "cannot read the kernel's types (BTF)").error();
    error.code = Errc::not_supported;
    error.hint = "use a kernel with CONFIG_DEBUG_INFO_BTF";
    return std::unexpected(std::move(error));
  }
  auto form = slot_form_in(kernel.get());
  if (form || form.error().code != Errc::not_found) return form;
  const Types module(btf__load_module_btf("kvm", kernel.get()));
  if (module) return slot_form_in(module.get());
  return fail(Errc::not_supported, fmt::format("{}, and its module kvm none either: {}",
                                               form.error().message, std::strerror(errno)));
}

}  // namespace microvmi::host
