/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the tiny guest share; README.md says what it prints. */
#pragma once

#include <stdint.h>

/* boot.S and tiny.ld */
extern uint64_t pml4[512];
extern volatile uint64_t counter[512];
extern char text_page[4096];
extern uint64_t gdt[5];
extern const char fault_stubs[], spin_start[], spin_end[], image_start[], image_end[];
extern void spin(void);
extern const char hot_point[];
extern void hot(volatile uint64_t* counter, uint64_t rounds);

/* serial.c */
void put_text(const char* text);
void put_hex(uint64_t value);                    /* " 0x1f" */
void put_line(const char* name, int count, ...); /* name and so many numbers */
int take_line(char* line, int room);             /* length, without its end */
uint64_t number_in(const char** text);           /* 0x hex or decimal; moves on */

/* stamp.c */
void set_stamping(uint64_t seed, uint64_t stride);
void stamp(uint64_t gpa, uint64_t size);
void sum(uint64_t gpa, uint64_t size);
void peek(uint64_t gpa);

/* state.c */
void set_state(void);
void print_state(void);

/* smp.c */
extern volatile uint64_t hot_counts[512];
void run_hot(uint64_t processors, uint64_t times);

static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline void out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
