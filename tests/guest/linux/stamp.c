// SPDX-License-Identifier: Apache-2.0
// Inside the Linux guest: fills pages with what can be known from outside, and says where they are.
//
// stamp MIB TEXT: a page with TEXT, a page with a counter, and MIB mebibytes of stamped pages. In a
// stamped page the first three words are kMagic, the page's own guest physical address and its
// index; the rest is a xorshift sequence that starts from the address.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kPage = 4096, kWords = kPage / 8 };
static const uint64_t kMagic = 0x504D415453494D56;  // "VMISTAMP" in memory

static void fail(const char* what) {
  printf("guest: failed: %s\n", what);
  exit(1);
}

// Documentation/admin-guide/mm/pagemap.rst: bit 63 page present, bits 0-54 page frame number.
static uint64_t gpa_of(int pagemap, const void* page) {
  uint64_t entry = 0;
  const off_t where = (off_t)((uintptr_t)page / kPage * sizeof entry);
  if (pread(pagemap, &entry, sizeof entry, where) != (ssize_t)sizeof entry) fail("pagemap");
  const uint64_t frame = entry & ((UINT64_C(1) << 55) - 1);
  if (!(entry >> 63) || frame == 0) fail("a page is not present");
  return frame * kPage;
}

static uint64_t next(uint64_t x) {
  x ^= x << 13;
  x ^= x >> 7;
  return x ^ (x << 17);
}

static void stamp(uint64_t* page, uint64_t gpa, uint64_t index) {
  uint64_t x = gpa ^ kMagic;
  page[0] = kMagic;
  page[1] = gpa;
  page[2] = index;
  for (int i = 3; i < kWords; i++) page[i] = x = next(x);
}

static int by_value(const void* a, const void* b) {
  const uint64_t x = *(const uint64_t*)a;
  const uint64_t y = *(const uint64_t*)b;
  return (x > y) - (x < y);
}

// Neighbours in one line: "guest: stamped START-END", END is one past the last byte.
static void print_ranges(uint64_t* gpas, size_t count) {
  qsort(gpas, count, sizeof *gpas, by_value);
  for (size_t i = 0, first = 0; i < count; i++) {
    if (i + 1 < count && gpas[i + 1] == gpas[i] + kPage) continue;
    printf("guest: stamped 0x%" PRIx64 "-0x%" PRIx64 "\n", gpas[first], gpas[i] + kPage);
    first = i + 1;
  }
}

static char* pages(size_t count) {
  char* start = mmap(NULL, count * kPage, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) fail("mmap");
  // Huge pages would be gathered later, and their content would move.
  (void)madvise(start, count * kPage, MADV_NOHUGEPAGE);
  if (mlock(start, count * kPage) != 0) fail("mlock");
  return start;
}

int main(int argc, char** argv) {
  if (argc != 3 || strlen(argv[2]) >= kPage) return 2;
  const size_t count = strtoul(argv[1], NULL, 10) << 8;
  const int pagemap = open("/proc/self/pagemap", O_RDONLY);
  if (pagemap < 0) fail("pagemap");
  char* text = pages(2);
  volatile uint64_t* counter = (volatile uint64_t*)(void*)(text + kPage);
  strcpy(text, argv[2]);
  *counter = 1;
  uint64_t* gpas = malloc(count * sizeof *gpas + 1);
  char* start = count ? pages(count) : NULL;
  if (gpas == NULL) fail("malloc");
  for (size_t i = 0; i < count; i++) {
    uint64_t* page = (uint64_t*)(void*)(start + i * kPage);
    page[0] = 1;
    gpas[i] = gpa_of(pagemap, page);
    stamp(page, gpas[i], i);
  }
  for (size_t i = 0; i < count; i++)
    if (gpa_of(pagemap, start + i * kPage) != gpas[i]) fail("a page moved");
  print_ranges(gpas, count);
  printf("guest: text at 0x%" PRIx64 ": %s\n", gpa_of(pagemap, text), text);
  printf("guest: counter at 0x%" PRIx64 "\n", gpa_of(pagemap, (const char*)text + kPage));
  printf("guest: ready\n");
  fflush(stdout);
  for (;;) {
    usleep(10000);
    ++*counter;
  }
}
