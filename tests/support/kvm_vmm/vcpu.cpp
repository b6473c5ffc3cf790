// SPDX-License-Identifier: Apache-2.0
// A vCPU in long mode whose registers all have values that nothing else has.
#include "support/kvm_vmm/vcpu.hpp"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace microvmi::kvm_vmm {
namespace {

// Of structures that end in a flexible array C++ may see another size than C: by hand.
constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, std::uint64_t);
constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, std::uint64_t);
constexpr unsigned long kSetCpuid = _IOW(KVMIO, 0x90, std::uint64_t);
constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xA4, std::uint8_t[4096]);
constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xA5, std::uint8_t[4096]);
constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, std::uint64_t);

struct MsrBatch {
  std::uint32_t count = kMsrs.size();
  std::uint32_t padding = 0;
  std::array<kvm_msr_entry, kMsrs.size()> entries{};
};

struct CpuidBatch {
  std::uint32_t count = 256;
  std::uint32_t padding = 0;
  std::array<kvm_cpuid_entry2, 256> entries{};
};

// Intel SDM 1, 13.4: XMM registers are at 160, XSTATE_BV at 512; its bits 0 and 1 are x87 and SSE.
using Xsave = std::array<std::uint8_t, 4096>;
constexpr std::size_t kXmmAt = 160;
constexpr std::size_t kXstateBvAt = 512;

// Counts in r12 and in memory, looks whether rbx is what it was, and leaves for the VMM each rcx +
// 1 rounds.
constexpr std::array<std::uint8_t, 24> kLoop{
    0x49, 0xFF, 0xC4,  //  0: inc r12
    0x4C, 0x89, 0x27,  //  3: mov [rdi], r12
    0x48, 0x3B, 0x1E,  //  6: cmp rbx, [rsi]
    0x75, 0x09,        //  9: jne 20
    0x49, 0x85, 0xCC,  // 11: test r12, rcx
    0x75, 0xF0,        // 14: jnz 0
    0xE6, 0x10,        // 16: out 0x10, al
    0xEB, 0xEC,        // 18: jmp 0
    0xE6, 0x11,        // 20: out 0x11, al
    0xEB, 0xFC,        // 22: jmp 20
};

void put(std::byte* place, std::uint64_t value) { std::memcpy(place, &value, sizeof value); }

// 2 MiB pages for the first GiB; bits of the Intel SDM 3A, 4.5: present, writable, user, large.
void write_page_tables(std::byte* low) {
  put(low + kTables, (kTables + 0x1000) | 7U);
  put(low + kTables + 0x1000, (kTables + 0x2000) | 7U);
  for (std::uint64_t i = 0; i < 512; ++i) put(low + kTables + 0x2000 + 8 * i, (i << 21U) | 0x87U);
}

void enter_long_mode(kvm_sregs& s, unsigned index) {
  s.cr0 = 0x80050033;  // PG, AM, WP, NE, ET, MP, PE
  s.cr3 = kTables;
  s.cr4 = 0x620;   // PAE, OSFXSR, OSXMMEXCPT
  s.efer = 0xD01;  // SCE, LME, LMA, NXE
  kvm_segment code{};
  code.limit = 0xFFFFFFFF;
  code.selector = 8;
  code.present = 1;
  code.type = 11;
  code.s = 1;
  code.l = 1;
  code.g = 1;
  s.cs = code;
  code.type = 3;
  code.selector = 16;
  code.l = 0;
  code.db = 1;
  s.ds = s.es = s.fs = s.gs = s.ss = code;
  s.fs.base = 0xF5'0000'0000 + index;
  s.gs.base = 0x65'0000'0000 + index;
  s.gdt.base = 0x6D'0000 + index;
  s.gdt.limit = 0x6D;
  s.idt.base = 0x1D'0000 + index;
  s.idt.limit = 0x1D;
}

kvm_regs registers_of(unsigned index, std::uint64_t mask) {
  const auto value = [index](std::uint64_t name) { return (name << 56U) | (name << 8U) | index; };
  return {.rax = value(0xA0),
          .rbx = value(0xB0),
          .rcx = mask,
          .rdx = value(0xD0),
          .rsi = kExpected + 8 * index,
          .rdi = kCounters + 64 * index,
          .rsp = 0x8000,
          .rbp = value(0xE0),
          .r8 = value(0x08),
          .r9 = value(0x09),
          .r10 = value(0x10),
          .r11 = value(0x11),
          .r12 = 0,
          .r13 = value(0x13),
          .r14 = value(0x14),
          .r15 = value(0x15),
          .rip = kCode,
          .rflags = 2};
}

}  // namespace

Vcpu::Vcpu(Machine& machine, unsigned index) : machine_(machine), index_(index) {
  fd_ = ::ioctl(machine.vm(), KVM_CREATE_VCPU, static_cast<unsigned long>(index));
  if (fd_ < 0) die("KVM_CREATE_VCPU");
  const int size = ::ioctl(machine.system(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (size <= 0) die("KVM_GET_VCPU_MMAP_SIZE");
  run_size_ = static_cast<std::uint64_t>(size);
  void* run = ::mmap(nullptr, run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (run == MAP_FAILED) die("mmap of kvm_run");
  run_ = static_cast<kvm_run*>(run);
  if (index == 0) {
    std::memcpy(machine.low() + kCode, kLoop.data(), kLoop.size());
    write_page_tables(machine.low());
  }
  give_state();
}

void Vcpu::give_state() {
  auto cpuid = std::make_unique<CpuidBatch>();
  if (::ioctl(machine_.system(), kGetSupportedCpuid, cpuid.get()) == 0)
    ::ioctl(fd_, kSetCpuid, cpuid.get());
  if (::ioctl(fd_, KVM_GET_SREGS, &given_.sregs) != 0) die("KVM_GET_SREGS");
  enter_long_mode(given_.sregs, index_);
  given_.regs = registers_of(index_, machine_.options().mask);
  put(machine_.low() + given_.regs.rsi, given_.regs.rbx);
  put(machine_.low() + given_.regs.rdi, 0);
  if (::ioctl(fd_, KVM_SET_SREGS, &given_.sregs) != 0) die("KVM_SET_SREGS");
  if (::ioctl(fd_, KVM_SET_REGS, &given_.regs) != 0) die("KVM_SET_REGS");
  give_xmm();
  MsrBatch msrs;
  for (std::size_t i = 0; i < kMsrs.size(); ++i) {
    // Canonical addresses, for those that have to be; SFMASK has 32 bits.
    given_.msrs[i] = (i == 2 ? 0x47700 : 0xFFFF'8000'0000'0000 + 0x1000 * (i + 1)) + index_;
    if (kMsrs[i].index < 0x1000) given_.msrs[i] &= 0xFFFFF;
    msrs.entries[i] = {.index = kMsrs[i].index, .reserved = 0, .data = given_.msrs[i]};
  }
  if (::ioctl(fd_, kSetMsrs, &msrs) != static_cast<int>(kMsrs.size())) die("KVM_SET_MSRS");
}

void Vcpu::give_xmm() {
  Xsave area{};
  if (::ioctl(fd_, kGetXsave, area.data()) != 0) die("KVM_GET_XSAVE");
  for (unsigned i = 0; i < given_.xmm.size(); ++i)
    given_.xmm[i].fill(static_cast<std::uint8_t>(16 * (index_ + 1) + i));
  std::memcpy(area.data() + kXmmAt, given_.xmm.data(), sizeof given_.xmm);
  area[kXstateBvAt] |= 3U;
  if (::ioctl(fd_, kSetXsave, area.data()) != 0) die("KVM_SET_XSAVE");
}

State Vcpu::state() const {
  State now;
  Xsave area{};
  MsrBatch msrs;
  for (std::size_t i = 0; i < kMsrs.size(); ++i) msrs.entries[i].index = kMsrs[i].index;
  if (::ioctl(fd_, KVM_GET_REGS, &now.regs) != 0 || ::ioctl(fd_, KVM_GET_SREGS, &now.sregs) != 0 ||
      ::ioctl(fd_, kGetXsave, area.data()) != 0 || ::ioctl(fd_, kGetMsrs, &msrs) < 0)
    die("state of a vCPU");
  for (std::size_t i = 0; i < kMsrs.size(); ++i) now.msrs[i] = msrs.entries[i].data;
  std::memcpy(now.xmm.data(), area.data() + kXmmAt, sizeof now.xmm);
  return now;
}

std::uint64_t Vcpu::counter() const {
  return __atomic_load_n(
      reinterpret_cast<const std::uint64_t*>(machine_.low() + kCounters + 64 * index_),
      __ATOMIC_ACQUIRE);
}

void Vcpu::start() {
  thread_ = std::thread([this] { run(); });
  while (tid_ == 0) std::this_thread::yield();
}

void Vcpu::wait_while_stopped() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return !stop_; });
  stopped_ = false;
}

void Vcpu::take_exit() {
  if (run_->exit_reason == KVM_EXIT_INTR) return;
  if (run_->exit_reason != KVM_EXIT_IO) {
    std::fprintf(stderr, "vCPU %u: exit reason %u\n", index_, run_->exit_reason);
    std::_Exit(4);
  }
  ++(run_->io.port == 0x10 ? exits_ : corrupted_);
}

void Vcpu::run() {
  tid_ = ::gettid();
  for (;;) {
    if (stop_) wait_while_stopped();
    if (::ioctl(fd_, KVM_RUN, 0) == 0) {
      take_exit();
    } else if (errno == EINTR || errno == EAGAIN) {
      if (!stop_) ++interrupted_;
    } else {
      die("KVM_RUN");
    }
  }
}

void Vcpu::stop() {
  stop_ = true;
  run_->immediate_exit = 1;  // for a vCPU that was about to enter when the signal came
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    ::tgkill(::getpid(), tid_, SIGUSR1);
    changed_.wait_for(lock, std::chrono::milliseconds(10));
  }
  run_->immediate_exit = 0;
}

void Vcpu::go() {
  const std::lock_guard lock(mutex_);
  stop_ = false;
  changed_.notify_all();
}

}  // namespace microvmi::kvm_vmm
