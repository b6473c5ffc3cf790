/* SPDX-License-Identifier: Apache-2.0 */
/* The registers: given values that are easy to recognise, and printed as the processor has them. */
#include "tiny.h"

/* In the order in which spin() loads them. */
static const char* const kSpinNames[] = {"rbx", "rcx", "rsi", "rdi", "rbp", "rsp", "r8",
                                         "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
enum { kSpinCount = 14, kRsp = 5 };
uint64_t spin_values[kSpinCount];
static uint64_t spin_stack[64] __attribute__((aligned(16)));

struct gate {
  uint16_t low, selector, flags, middle;
  uint32_t high, zero;
};
static struct gate idt[32] __attribute__((aligned(16)));
static uint8_t task_state[104] __attribute__((aligned(16)));

/* A 4 KiB and a 2 MiB mapping in the upper half, for whoever walks page tables. */
static uint64_t high_pdpt[512] __attribute__((aligned(4096)));
static uint64_t high_pd[512] __attribute__((aligned(4096)));
static uint64_t high_pt[512] __attribute__((aligned(4096)));
enum { kHighSlot = 288 }; /* 0xffff900000000000 */
static const uint64_t kHigh = 0xFFFF900000000000ULL;
static const uint64_t kNoExecute = 1ULL << 63;

struct msr {
  const char* name;
  uint32_t number;
  uint64_t value;
};
/* Numbers: Intel SDM volume 4, chapter 2. */
static const struct msr kMsrs[] = {
    {"fs_base", 0xC0000100, 0x00000F5000000F50ULL},
    {"gs_base", 0xC0000101, 0xFFFF8F6000000F60ULL},
    {"kernel_gs_base", 0xC0000102, 0xFFFF8F7000000F70ULL},
    {"star", 0xC0000081, 0x0018000800000000ULL},
    {"lstar", 0xC0000082, 0xFFFF8F8000000F80ULL},
    {"cstar", 0xC0000083, 0xFFFF8F9000000F90ULL},
    {"fmask", 0xC0000084, 0x47700},
    {"sysenter_cs", 0x174, 0x8},
    {"sysenter_esp", 0x175, 0xFFFF8FA000000FA0ULL},
    {"sysenter_eip", 0x176, 0xFFFF8FB000000FB0ULL},
};
enum { kMsrCount = sizeof(kMsrs) / sizeof(kMsrs[0]) };
enum { kEfer = 0xC0000080, kApicBase = 0x1B, kPat = 0x277 };

static uint64_t read_msr(uint32_t number) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
  return low | (uint64_t)high << 32;
}

static void write_msr(uint32_t number, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void set_faults(void) {
  for (int i = 0; i < 32; ++i) {
    const uint64_t stub = (uint64_t)fault_stubs + 16 * (uint64_t)i;
    idt[i] = (struct gate){.low = (uint16_t)stub,
                           .selector = 0x8,
                           .flags = 0x8E00, /* present interrupt gate */
                           .middle = (uint16_t)(stub >> 16),
                           .high = (uint32_t)(stub >> 32)};
  }
  const struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } pointer = {sizeof(idt) - 1, (uint64_t)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void set_task(void) {
  const uint64_t base = (uint64_t)task_state;
  gdt[3] = 0x0000890000000000ULL | (sizeof(task_state) - 1) | (base & 0xFFFFFF) << 16 |
           (base >> 24 & 0xFF) << 56;
  gdt[4] = base >> 32;
  __asm__ volatile("ltr %w0" : : "r"(0x18));
}

static void set_high_mappings(void) {
  pml4[kHighSlot] = (uint64_t)high_pdpt | 3;
  high_pdpt[0] = (uint64_t)high_pd | 3;
  high_pd[0] = (uint64_t)high_pt | 3;
  high_pd[1] = 0x200000 | 0x83; /* the 2 MiB from 2 MiB on */
  high_pt[1] = (uint64_t)counter | 3 | kNoExecute;
  high_pt[2] = (uint64_t)text_page | 1 | kNoExecute;
}

void set_state(void) {
  set_faults();
  set_task();
  set_high_mappings();
  for (int i = 0; i < kMsrCount; ++i) write_msr(kMsrs[i].number, kMsrs[i].value);
  for (uint64_t i = 0; i < kSpinCount; ++i) spin_values[i] = 0xA0B0C0D0E0F00000ULL | i << 8 | i;
  spin_values[kRsp] = (uint64_t)(spin_stack + 64);
  __asm__ volatile("mov %0, %%cr2" : : "r"(0xC0FFEE000ULL));
  __asm__ volatile("mov %0, %%dr0" : : "r"(0xD0D0000ULL));
  __asm__ volatile("mov %0, %%dr1" : : "r"(0xD1D1000ULL));
  __asm__ volatile("mov %0, %%dr2" : : "r"(0xD2D2000ULL));
  __asm__ volatile("mov %0, %%dr3" : : "r"(0xD3D3000ULL));
}

static void put_reg(const char* name, uint64_t value) {
  put_text("reg ");
  put_line(name, 1, value);
}

#define PUT(name)                                          \
  do {                                                     \
    uint64_t value;                                        \
    __asm__ volatile("mov %%" #name ", %0" : "=r"(value)); \
    put_reg(#name, value);                                 \
  } while (0)

static void print_tables(void) {
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } table;
  __asm__ volatile("sgdt %0" : "=m"(table));
  put_reg("gdt_base", table.base);
  put_reg("gdt_limit", table.limit);
  __asm__ volatile("sidt %0" : "=m"(table));
  put_reg("idt_base", table.base);
  put_reg("idt_limit", table.limit);
  uint64_t selector = 0;
  __asm__ volatile("str %w0" : "+r"(selector));
  put_reg("tr", selector);
  put_reg("tr_base", (uint64_t)task_state);
  put_reg("tr_limit", sizeof(task_state) - 1);
}

void print_state(void) {
  for (int i = 0; i < kSpinCount; ++i) put_reg(kSpinNames[i], spin_values[i]);
  PUT(cr0);
  PUT(cr2);
  PUT(cr3);
  PUT(cr4);
  PUT(cr8);
  PUT(dr0);
  PUT(dr1);
  PUT(dr2);
  PUT(dr3);
  PUT(dr7);
  PUT(cs);
  PUT(ss);
  PUT(ds);
  PUT(es);
  PUT(fs);
  PUT(gs);
  print_tables();
  for (int i = 0; i < kMsrCount; ++i) put_reg(kMsrs[i].name, read_msr(kMsrs[i].number));
  put_reg("efer", read_msr(kEfer));
  put_reg("apic_base", read_msr(kApicBase));
  put_reg("pat", read_msr(kPat));
  put_line("loop", 2, (uint64_t)spin_start, (uint64_t)spin_end);
  put_line("va", 3, kHigh + 0x1000, (uint64_t)counter, 4096ULL);
  put_line("va", 3, kHigh + 0x2000, (uint64_t)text_page, 4096ULL);
  put_line("va", 3, kHigh + 0x200000, 0x200000ULL, 0x200000ULL);
}
