/* SPDX-License-Identifier: Apache-2.0 */
/* Other processors, started by INIT and SIPI, and a loop for breakpoints that counts itself. */
#include "tiny.h"

enum {
  kMost = 8,
  kTrampoline = 0x8000,   /* the page that a SIPI of vector 8 starts at */
  kInitOthers = 0xC4500,  /* Intel SDM volume 3A, 11.6.1: all excluding self, assert, INIT */
  kStartOthers = 0xC4608, /* the same, start-up at page 8 */
};
static volatile uint32_t* const kCommand = (volatile uint32_t*)0xFEE00300; /* the APIC's ICR */

volatile uint64_t hot_counts[512] __attribute__((aligned(4096)));
static volatile uint64_t rounds, wanted, finished;
extern const char ap_start[], ap_end[];

static void wait_a_little(void) {
  for (int i = 0; i < 20000; ++i) __asm__ volatile("pause");
}

/* Each processor has a counter of its own, 64 bytes apart. */
void ap_main(uint32_t number) {
  if (number < wanted) {
    hot(&hot_counts[8 * (uint64_t)number], rounds);
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
  }
  while (1) __asm__ volatile("cli; hlt");
}

void run_hot(uint64_t processors, uint64_t times) {
  wanted = processors < kMost ? processors : kMost;
  rounds = times;
  finished = 0;
  for (uint64_t i = 0; i < kMost; ++i) hot_counts[8 * i] = 0;
  if (wanted > 1) {
    volatile char* to = (volatile char*)kTrampoline;
    for (const char* from = ap_start; from != ap_end; ++from) *to++ = *from;
    *kCommand = kInitOthers;
    wait_a_little();
    *kCommand = kStartOthers;
  }
  hot(&hot_counts[0], rounds);
  while (finished + 1 < wanted) __asm__ volatile("pause");
  put_line("hot", 4, hot_counts[0], hot_counts[8], hot_counts[16], hot_counts[24]);
}
