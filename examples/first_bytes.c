/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the first 16 bytes of a guest's memory: first_bytes memflow.qemu-procfs.vm-name=win10 */
#include <stdint.h>
#include <stdio.h>

#include "microvmi/mvmi.h"

int main(int argc, char** argv) {
  mvmi_error* error = NULL;
  uint8_t bytes[16] = {0};
  mvmi_vm* vm = mvmi_open(NULL, argc > 1 ? argv[1] : "", &error);
  const int ok = vm && mvmi_read(vm, 0, bytes, sizeof(bytes), &error);
  if (!ok) fprintf(stderr, "%s\n", mvmi_error_message(error));
  for (size_t i = 0; ok && i < sizeof(bytes); ++i) printf("%02x%c", bytes[i], i < 15 ? ' ' : '\n');
  mvmi_error_free(error);
  if (vm) mvmi_close(vm);
  return ok ? 0 : 1;
}
