// SPDX-License-Identifier: Apache-2.0
// The only file of these tests that knows Xen's structures, by the names of their fields.
#include "unit/driver/xen/vendor.hpp"

#include <xenctrl.h>
// After xenctrl.h, which chooses what they declare.
#include <xen/hvm/save.h>
#include <xen/vm_event.h>

#include <cstring>

namespace microvmi::test::xen {
namespace {

using microvmi::xen::Message;

template <class Struct>
Bytes bytes_of(const Struct& value) {
  Bytes out(sizeof value);
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

Message message_of(const vm_event_request_t& request) {
  static_assert(sizeof request == sizeof(Message::bytes));
  Message out;
  std::memcpy(out.bytes.data(), &request, sizeof request);
  return out;
}

vm_event_request_t request_of(std::uint32_t reason, std::uint32_t vcpu) {
  vm_event_request_t out{};
  out.version = VM_EVENT_INTERFACE_VERSION;
  out.flags = VM_EVENT_FLAG_VCPU_PAUSED;
  out.reason = reason;
  out.vcpu_id = vcpu;
  return out;
}

// Twelve bits, as Xen packs them: type, S, DPL, P, AVL, L, D/B, G.
constexpr std::uint32_t kPackedCode = 0xa9b;
constexpr std::uint32_t kPackedData = 0xc93;

}  // namespace

Bytes hvm_record(const Numbers& of) {
  using enum Reg;
  hvm_hw_cpu cpu{};
#define MICROVMI_PUT(field, reg) cpu.field = static_cast<decltype(cpu.field)>(of(reg))
#define MICROVMI_SAME(reg) MICROVMI_PUT(reg, reg)
#define MICROVMI_SEG(field, reg, attributes)                              \
  MICROVMI_PUT(field##_sel, reg), MICROVMI_PUT(field##_base, reg##_base), \
      MICROVMI_PUT(field##_limit, reg##_limit), cpu.field##_arbytes = attributes
  MICROVMI_SAME(rax), MICROVMI_SAME(rbx), MICROVMI_SAME(rcx), MICROVMI_SAME(rdx);
  MICROVMI_SAME(rbp), MICROVMI_SAME(rsi), MICROVMI_SAME(rdi), MICROVMI_SAME(rsp);
  MICROVMI_SAME(r8), MICROVMI_SAME(r9), MICROVMI_SAME(r10), MICROVMI_SAME(r11);
  MICROVMI_SAME(r12), MICROVMI_SAME(r13), MICROVMI_SAME(r14), MICROVMI_SAME(r15);
  MICROVMI_SAME(rip), MICROVMI_SAME(rflags), MICROVMI_SAME(cr0), MICROVMI_SAME(cr2);
  MICROVMI_SAME(cr3), MICROVMI_SAME(cr4), MICROVMI_SAME(dr0), MICROVMI_SAME(dr1);
  MICROVMI_SAME(dr2), MICROVMI_SAME(dr3), MICROVMI_SAME(dr6), MICROVMI_SAME(dr7);
  MICROVMI_SEG(cs, cs, kPackedCode), MICROVMI_SEG(ds, ds, kPackedData);
  MICROVMI_SEG(es, es, kPackedData), MICROVMI_SEG(fs, fs, kPackedData);
  MICROVMI_SEG(gs, gs, kPackedData), MICROVMI_SEG(ss, ss, kPackedData);
  MICROVMI_SEG(tr, tr, kPackedData), MICROVMI_SEG(ldtr, ldt, kPackedData);
  MICROVMI_PUT(idtr_base, idt_base), MICROVMI_PUT(idtr_limit, idt_limit);
  MICROVMI_PUT(gdtr_base, gdt_base), MICROVMI_PUT(gdtr_limit, gdt_limit);
  MICROVMI_SAME(sysenter_cs), MICROVMI_SAME(sysenter_esp), MICROVMI_SAME(sysenter_eip);
  MICROVMI_PUT(shadow_gs, kernel_gs_base), MICROVMI_PUT(msr_lstar, lstar);
  MICROVMI_PUT(msr_star, star), MICROVMI_PUT(msr_cstar, cstar);
  MICROVMI_PUT(msr_syscall_mask, fmask), MICROVMI_PUT(msr_efer, efer);
  MICROVMI_PUT(msr_tsc_aux, tsc_aux);
#undef MICROVMI_SEG
#undef MICROVMI_SAME
#undef MICROVMI_PUT
  return bytes_of(cpu);
}

Bytes hvm_context(const std::vector<Bytes>& records) {
  Bytes out;
  const auto append = [&](std::uint16_t code, std::uint16_t instance, const Bytes& body) {
    const hvm_save_descriptor head{
        .typecode = code, .instance = instance, .length = static_cast<std::uint32_t>(body.size())};
    const Bytes bytes = bytes_of(head);
    out.insert(out.end(), bytes.begin(), bytes.end());
    out.insert(out.end(), body.begin(), body.end());
  };
  append(HVM_SAVE_CODE(HEADER), 0, Bytes(sizeof(hvm_save_header)));
  for (std::size_t i = 0; i < records.size(); ++i)
    append(HVM_SAVE_CODE(CPU), static_cast<std::uint16_t>(i), records[i]);
  append(HVM_SAVE_CODE(END), 0, {});
  return out;
}

Bytes pv_context(const Numbers& of, bool in_kernel) {
  using enum Reg;
  vcpu_guest_context context{};
  cpu_user_regs& user = context.user_regs;
#define MICROVMI_PUT(reg) user.reg = static_cast<decltype(user.reg)>(of(reg))
  MICROVMI_PUT(rax), MICROVMI_PUT(rbx), MICROVMI_PUT(rcx), MICROVMI_PUT(rdx);
  MICROVMI_PUT(rbp), MICROVMI_PUT(rsi), MICROVMI_PUT(rdi), MICROVMI_PUT(rsp);
  MICROVMI_PUT(r8), MICROVMI_PUT(r9), MICROVMI_PUT(r10), MICROVMI_PUT(r11);
  MICROVMI_PUT(r12), MICROVMI_PUT(r13), MICROVMI_PUT(r14), MICROVMI_PUT(r15);
  MICROVMI_PUT(rip), MICROVMI_PUT(rflags), MICROVMI_PUT(cs), MICROVMI_PUT(ss);
  MICROVMI_PUT(ds), MICROVMI_PUT(es), MICROVMI_PUT(fs), MICROVMI_PUT(gs);
#undef MICROVMI_PUT
  context.flags = in_kernel ? VGCF_in_kernel : 0;
  context.ctrlreg[0] = of(cr0);
  context.ctrlreg[in_kernel ? 3 : 1] = of(cr3);
  context.ctrlreg[4] = of(cr4);
  for (const auto& [i, reg] : {std::pair{0, dr0}, {1, dr1}, {2, dr2}, {3, dr3}, {6, dr6}, {7, dr7}})
    context.debugreg[i] = of(reg);
  context.fs_base = of(fs_base);
  (in_kernel ? context.gs_base_kernel : context.gs_base_user) = of(gs_base);
  (in_kernel ? context.gs_base_user : context.gs_base_kernel) = of(kernel_gs_base);
  return bytes_of(context);
}

Bytes event_regs(const Numbers& of) {
  using enum Reg;
  vm_event_regs_x86 regs{};
#define MICROVMI_PUT(field, reg) regs.field = static_cast<decltype(regs.field)>(of(reg))
#define MICROVMI_SAME(reg) MICROVMI_PUT(reg, reg)
#define MICROVMI_SEG(name, attributes)                                                  \
  MICROVMI_PUT(name##_sel, name), MICROVMI_PUT(name##_base, name##_base),               \
      regs.name.limit = static_cast<std::uint32_t>(of(name##_limit) >> 12U) & 0xfffffU, \
      regs.name.ar = attributes
  MICROVMI_SAME(rax), MICROVMI_SAME(rbx), MICROVMI_SAME(rcx), MICROVMI_SAME(rdx);
  MICROVMI_SAME(rbp), MICROVMI_SAME(rsi), MICROVMI_SAME(rdi), MICROVMI_SAME(rsp);
  MICROVMI_SAME(r8), MICROVMI_SAME(r9), MICROVMI_SAME(r10), MICROVMI_SAME(r11);
  MICROVMI_SAME(r12), MICROVMI_SAME(r13), MICROVMI_SAME(r14), MICROVMI_SAME(r15);
  MICROVMI_SAME(rip), MICROVMI_SAME(rflags), MICROVMI_SAME(cr0), MICROVMI_SAME(cr2);
  MICROVMI_SAME(cr3), MICROVMI_SAME(cr4), MICROVMI_SAME(dr6), MICROVMI_SAME(dr7);
  MICROVMI_SAME(sysenter_cs), MICROVMI_SAME(sysenter_esp), MICROVMI_SAME(sysenter_eip);
  MICROVMI_PUT(msr_efer, efer), MICROVMI_PUT(msr_star, star), MICROVMI_PUT(msr_lstar, lstar);
  MICROVMI_PUT(gdtr_base, gdt_base), MICROVMI_PUT(gdtr_limit, gdt_limit);
  MICROVMI_PUT(shadow_gs, kernel_gs_base);
  MICROVMI_SEG(cs, kPackedCode), MICROVMI_SEG(ss, kPackedData), MICROVMI_SEG(ds, kPackedData);
  MICROVMI_SEG(es, kPackedData), MICROVMI_SEG(fs, kPackedData), MICROVMI_SEG(gs, kPackedData);
#undef MICROVMI_SEG
#undef MICROVMI_SAME
#undef MICROVMI_PUT
  return bytes_of(regs);
}

struct Front::Ring {
  vm_event_front_ring_t front{};
};

Front::Front(void* page) : ring_(new Ring) {
  auto* const shared = static_cast<vm_event_sring_t*>(page);
  FRONT_RING_INIT(&ring_->front, shared, XC_PAGE_SIZE);
}

Front::~Front() { delete ring_; }

bool Front::push(const Message& request, bool& notice) {
  vm_event_front_ring_t& front = ring_->front;
  if (RING_FULL(&front)) return false;
  std::memcpy(RING_GET_REQUEST(&front, front.req_prod_pvt), request.bytes.data(),
              request.bytes.size());
  ++front.req_prod_pvt;
  int notify = 0;
  RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&front, notify);
  notice = notify != 0;
  return true;
}

bool Front::pop(Message& response) {
  vm_event_front_ring_t& front = ring_->front;
  if (!RING_HAS_UNCONSUMED_RESPONSES(&front)) return false;
  std::memcpy(response.bytes.data(), RING_GET_RESPONSE(&front, front.rsp_cons),
              response.bytes.size());
  ++front.rsp_cons;
  return true;
}

Message breakpoint(std::uint32_t vcpu, std::uint64_t rip, std::uint64_t frame) {
  auto out = request_of(VM_EVENT_REASON_SOFTWARE_BREAKPOINT, vcpu);
  out.u.software_breakpoint.gfn = frame;
  out.u.software_breakpoint.insn_length = 1;
  out.u.software_breakpoint.type = 6;
  out.data.regs.x86.rip = rip;
  return message_of(out);
}

Message cr3_write(std::uint32_t vcpu, std::uint64_t old_value, std::uint64_t new_value) {
  auto out = request_of(VM_EVENT_REASON_WRITE_CTRLREG, vcpu);
  out.u.write_ctrlreg.index = VM_EVENT_X86_CR3;
  out.u.write_ctrlreg.old_value = old_value;
  out.u.write_ctrlreg.new_value = new_value;
  return message_of(out);
}

Message msr_write(std::uint32_t vcpu, std::uint32_t msr, std::uint64_t old_value,
                  std::uint64_t new_value) {
  auto out = request_of(VM_EVENT_REASON_MOV_TO_MSR, vcpu);
  out.u.mov_to_msr.msr = msr;
  out.u.mov_to_msr.old_value = old_value;
  out.u.mov_to_msr.new_value = new_value;
  return message_of(out);
}

Message cpuid(std::uint32_t vcpu, std::uint64_t rip, std::uint32_t leaf) {
  auto out = request_of(VM_EVENT_REASON_CPUID, vcpu);
  out.u.cpuid.insn_length = 2;
  out.u.cpuid.leaf = leaf;
  out.u.cpuid.subleaf = 7;
  out.data.regs.x86.rip = rip;
  return message_of(out);
}

Message page_access(std::uint32_t vcpu, std::uint64_t frame, std::uint64_t offset,
                    std::uint64_t gva) {
  auto out = request_of(VM_EVENT_REASON_MEM_ACCESS, vcpu);
  out.u.mem_access.gfn = frame;
  out.u.mem_access.offset = offset;
  out.u.mem_access.gla = gva;
  out.u.mem_access.flags = MEM_ACCESS_W | MEM_ACCESS_GLA_VALID;
  return message_of(out);
}

Message privileged_call(std::uint32_t vcpu, std::uint64_t rip) {
  auto out = request_of(VM_EVENT_REASON_PRIVILEGED_CALL, vcpu);
  out.data.regs.x86.rip = rip;
  return message_of(out);
}

Message not_emulated(std::uint32_t vcpu, std::uint64_t rip) {
  auto out = request_of(VM_EVENT_REASON_EMUL_UNIMPLEMENTED, vcpu);
  out.data.regs.x86.rip = rip;
  return message_of(out);
}

Message of_version(Message message, std::uint32_t version) {
  vm_event_request_t request{};
  std::memcpy(&request, message.bytes.data(), sizeof request);
  request.version = version;
  return message_of(request);
}

Said said(const Message& response) {
  vm_event_response_t out{};
  std::memcpy(&out, response.bytes.data(), sizeof out);
  return {out.version,          out.flags, out.reason, out.vcpu_id, out.data.regs.x86.rax,
          out.data.regs.x86.rip};
}

}  // namespace microvmi::test::xen
