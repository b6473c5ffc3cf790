// SPDX-License-Identifier: Apache-2.0
// Inside the Linux guest: a page with what can be known from outside; counts in it for ever.
//
// truth TEXT: prints where TEXT and the counter are in its own address space, which is the only one
// that is busy, so that it is found in the vCPU's page tables.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { kPage = 4096 };

int main(int argc, char** argv) {
  if (argc != 2 || strlen(argv[1]) >= kPage) return 2;
  char* text = mmap(NULL, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (text == MAP_FAILED || mlock(text, 2 * kPage) != 0) return 3;
  volatile uint64_t* counter = (volatile uint64_t*)(void*)(text + kPage);
  strcpy(text, argv[1]);
  printf("guest: text at %p: %s\n", (void*)text, text);
  printf("guest: counter at %p\n", (void*)(text + kPage));
  printf("guest: ready\n");
  fflush(stdout);
  for (;;) ++*counter;
}
