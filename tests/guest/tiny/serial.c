/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port: a 16550 at 0x3F8, as every x86 machine of QEMU has one. */
#include <stdarg.h>

#include "tiny.h"

enum { kData = 0x3F8, kStatus = 0x3FD, kReadable = 0x01, kWritable = 0x20 };

static void put_char(char c) {
  while (!(in8(kStatus) & kWritable)) continue;
  out8(kData, (uint8_t)c);
}

void put_text(const char* text) {
  while (*text) put_char(*text++);
}

void put_hex(uint64_t value) {
  put_text(" 0x");
  int shift = 60;
  while (shift > 0 && !(value >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) put_char("0123456789abcdef"[(value >> shift) & 15]);
}

void put_line(const char* name, int count, ...) {
  va_list numbers;
  va_start(numbers, count);
  put_text(name);
  while (count-- > 0) put_hex(va_arg(numbers, uint64_t));
  put_char('\n');
  va_end(numbers);
}

int take_line(char* line, int room) {
  int size = 0;
  while (1) {
    while (!(in8(kStatus) & kReadable)) continue;
    const char c = (char)in8(kData);
    if (c == '\n') break;
    if (size < room - 1) line[size++] = c;
  }
  line[size] = 0;
  return size;
}

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return 16;
}

uint64_t number_in(const char** text) {
  const char* at = *text;
  while (*at == ' ') ++at;
  int base = 10;
  if (at[0] == '0' && at[1] == 'x') {
    base = 16;
    at += 2;
  }
  uint64_t value = 0;
  for (; digit_of(*at) < base; ++at) value = value * (uint64_t)base + (uint64_t)digit_of(*at);
  *text = at;
  return value;
}
