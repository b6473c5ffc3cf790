/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny guest: takes what multiboot gives, stamps its memory, tells the truth, then spins. */
#include "tiny.h"

/* Multiboot 0.6.96, 3.3: what the loader passes. */
struct info {
  uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
  uint32_t mmap_length, mmap_addr;
};
struct __attribute__((packed)) entry {
  uint32_t size; /* of what follows */
  uint64_t base, length;
  uint32_t type; /* 1: RAM */
};
enum { kBootMagic = 0x2BADB002, kHasCmdline = 1 << 2, kHasMap = 1 << 6, kRam = 1 };

/* Copied before the first stamp, for it lies in memory that is stamped. */
enum { kMaxRanges = 32 };
static struct entry ranges[kMaxRanges];
static int range_count;
static char cmdline[256];

static const char* after(const char* text, const char* word) {
  for (; *text; ++text) {
    const char *a = text, *b = word;
    while (*b && *a == *b) ++a, ++b;
    if (!*b) return a;
  }
  return 0;
}

static uint64_t option(const char* name, uint64_t otherwise) {
  const char* value = after(cmdline, name);
  return value ? number_in(&value) : otherwise;
}

static void copy_info(const struct info* info) {
  if (info->flags & kHasCmdline) {
    const char* from = (const char*)(uint64_t)info->cmdline;
    for (unsigned i = 0; i < sizeof(cmdline) - 1 && from[i]; ++i) cmdline[i] = from[i];
  }
  if (!(info->flags & kHasMap)) return;
  uint64_t at = info->mmap_addr;
  const uint64_t end = at + info->mmap_length;
  while (at < end && range_count < kMaxRanges) {
    const struct entry* one = (const struct entry*)at;
    if (one->length != 0) ranges[range_count++] = *one;
    at += one->size + sizeof(one->size);
  }
}

static void write_text(void) {
  const char* text = "The tiny guest of microvmi wrote this. ";
  const char* at = text;
  for (int i = 0; i < 4096; ++i) {
    text_page[i] = *at++;
    if (!*at) at = text;
  }
}

static void obey(const char* line) {
  const char* at;
  if ((at = after(line, "stamp "))) {
    const uint64_t gpa = number_in(&at);
    stamp(gpa, number_in(&at));
  } else if ((at = after(line, "sum "))) {
    const uint64_t gpa = number_in(&at);
    sum(gpa, number_in(&at));
  } else if ((at = after(line, "peek "))) {
    peek(number_in(&at));
  } else if ((at = after(line, "hot "))) {
    const uint64_t processors = number_in(&at);
    run_hot(processors, number_in(&at));
  } else {
    put_text("unknown command\n");
  }
}

void tiny_fault(uint64_t vector, uint64_t first, uint64_t second, uint64_t cr2) {
  put_line("fault", 4, vector, first, second, cr2);
}

void tiny_main(uint32_t magic, const struct info* info) {
  put_line("tiny", 1, 1ULL);
  if (magic != kBootMagic) {
    put_line("no multiboot", 1, (uint64_t)magic);
    return;
  }
  copy_info(info);
  set_state();
  write_text();
  const uint64_t seed = option("seed=", 0), stride = option("stride=", 16);
  put_line("seed", 1, seed);
  put_line("stride", 1, stride);
  put_line("image", 2, (uint64_t)image_start, (uint64_t)(image_end - image_start));
  for (int i = 0; i < range_count; ++i)
    put_line("map", 3, ranges[i].base, ranges[i].length, (uint64_t)ranges[i].type);
  set_stamping(seed, stride);
  for (int i = 0; i < range_count; ++i)
    if (ranges[i].type == kRam) stamp(ranges[i].base, ranges[i].length);
  put_line("counter", 1, (uint64_t)counter);
  put_line("text", 1, (uint64_t)text_page);
  print_state();
  put_line("hotloop", 2, (uint64_t)hot_point, (uint64_t)hot_counts);
  put_text("ready\n");
  while (1) {
    char line[128];
    spin();
    take_line(line, sizeof(line));
    obey(line);
  }
}
