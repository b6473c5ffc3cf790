/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps: words that tell their own address, in pages all over the guest's memory. */
#include "tiny.h"

enum { kPage = 4096, kWindow = 2 << 20 };

/* One 2 MiB page at the start of the second 512 GiB, moved to wherever there is work. */
static uint64_t* const window = (uint64_t*)(512ULL << 30);
static uint64_t window_pdpt[512] __attribute__((aligned(4096)));
static uint64_t window_pd[512] __attribute__((aligned(4096)));

static uint64_t seed, stride;

void set_stamping(uint64_t new_seed, uint64_t new_stride) {
  seed = new_seed;
  stride = new_stride ? new_stride : 1;
  pml4[1] = (uint64_t)window_pdpt | 3;
  window_pdpt[0] = (uint64_t)window_pd | 3;
}

static volatile uint64_t* word_at(uint64_t gpa) {
  const uint64_t wanted = (gpa & ~(uint64_t)(kWindow - 1)) | 0x83;
  /* The processor itself sets the accessed and dirty bits, 5 and 6. */
  if ((window_pd[0] & ~0x60ULL) != wanted) {
    window_pd[0] = wanted;
    __asm__ volatile("invlpg (%0)" : : "r"(window) : "memory");
  }
  return window + (gpa & (kWindow - 1)) / sizeof(uint64_t);
}

static uint64_t word_for(uint64_t gpa) {
  /* 2^64 divided by the golden ratio; both steps can be undone, so no two addresses share a word */
  const uint64_t mixed = (gpa ^ seed) * 0x9E3779B97F4A7C15ULL;
  return mixed ^ (mixed >> 32);
}

static uint64_t add_to_sum(uint64_t so_far, uint64_t word) {
  return (so_far ^ word) * 0x100000001B3ULL; /* the prime of 64-bit FNV */
}

static int is_own(uint64_t gpa) {
  return gpa + kPage > (uint64_t)image_start && gpa < (uint64_t)image_end;
}

static uint64_t sum_page(uint64_t gpa, uint64_t so_far) {
  volatile const uint64_t* words = word_at(gpa);
  for (int i = 0; i < kPage / 8; ++i) so_far = add_to_sum(so_far, words[i]);
  return so_far;
}

static void stamp_page(uint64_t gpa) {
  volatile uint64_t* words = word_at(gpa);
  for (uint64_t i = 0; i < kPage / 8; ++i) words[i] = word_for(gpa + 8 * i);
}

void stamp(uint64_t gpa, uint64_t size) {
  const uint64_t first = (gpa + kPage - 1) & ~(uint64_t)(kPage - 1);
  const uint64_t end = (gpa + size) & ~(uint64_t)(kPage - 1);
  uint64_t pages = 0, all = 0;
  for (int reading = 0; reading < 2; ++reading) {
    for (uint64_t page = first; page < end; page += kPage) {
      if ((page / kPage) % stride != 0 && page != first && page + kPage != end) continue;
      if (is_own(page)) continue;
      if (reading) {
        all = sum_page(page, all);
        ++pages;
      } else {
        stamp_page(page);
      }
    }
  }
  if (first < end) put_line("stamped", 4, first, end - first, pages, all);
}

void sum(uint64_t gpa, uint64_t size) {
  uint64_t all = 0;
  for (uint64_t at = gpa; at < gpa + size; at += 8) all = add_to_sum(all, *word_at(at));
  put_line("sum", 3, gpa, size, all);
}

void peek(uint64_t gpa) { put_line("peek", 2, gpa, *word_at(gpa)); }
