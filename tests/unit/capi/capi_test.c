// SPDX-License-Identifier: Apache-2.0
/* The C API from a C program: every function, with NULL too. Exit code 0 where all holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microvmi/mvmi.h"

static int failures = 0;

#define EXPECT(condition)                                             \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                     \
    }                                                                 \
  } while (0)

static void describes_every_driver(void) {
  mvmi_param row;
  size_t drivers = 0;
  for (; mvmi_driver_name(drivers) != NULL; ++drivers) {
    size_t rows = 0;
    for (; mvmi_driver_param(mvmi_driver_name(drivers), rows, &row); ++rows) {
      EXPECT(row.key[0] != '\0' && row.help[0] != '\0' && strncmp(row.option, "--", 2) == 0);
      EXPECT((strcmp(row.type, "choice") == 0) == (row.choices[0] != NULL));
      EXPECT((strcmp(row.presence, "required") == 0) == (row.required != 0));
      EXPECT(row.default_value == NULL || strcmp(row.presence, "defaulted") == 0);
    }
    EXPECT(rows > 1);
  }
  EXPECT(drivers == 4);
  EXPECT(mvmi_connector_name(3) != NULL && mvmi_connector_name(4) == NULL);
  EXPECT(mvmi_connector_param("kvm", 0, &row) == 1 && strcmp(row.key, "vm-name") == 0);
  EXPECT(mvmi_driver_available("memflow") == 1);
}

static void survives_null(void) {
  mvmi_param row;
  mvmi_error* error = NULL;
  char byte = 0;
  EXPECT(mvmi_driver_param(NULL, 0, &row) == 0);
  EXPECT(mvmi_driver_param("kvm", 0, NULL) == 0);
  EXPECT(mvmi_driver_param("kvm", (size_t)-1, &row) == 0);
  EXPECT(mvmi_connector_param(NULL, 0, NULL) == 0);
  EXPECT(mvmi_driver_available(NULL) == 0 && mvmi_connector_available("") == 0);
  EXPECT(mvmi_read(NULL, 0, &byte, 1, NULL) == 0);
  EXPECT(mvmi_write(NULL, 0, &byte, 1, &error) == 0);
  EXPECT(mvmi_error_code(error) == MVMI_INVALID_ARGUMENT);
  mvmi_error_free(error);
  EXPECT(mvmi_pause(NULL, NULL) == 0 && mvmi_resume(NULL, NULL) == 0);
  EXPECT(mvmi_capabilities(NULL) == 0 && mvmi_end_of_memory(NULL) == 0);
  EXPECT(mvmi_driver_of(NULL) == NULL);
  EXPECT(mvmi_error_code(NULL) == MVMI_OK && mvmi_error_message(NULL)[0] == '\0');
  EXPECT(mvmi_error_hint(NULL)[0] == '\0');
  EXPECT(strcmp(mvmi_errc_name(MVMI_HOLE), "hole") == 0);
  EXPECT(strcmp(mvmi_errc_name((mvmi_errc)99), "unknown") == 0);
  EXPECT(mvmi_open("virtualbox", NULL, NULL) == NULL);
  mvmi_close(NULL);
  mvmi_error_free(NULL);
  mvmi_text_free(NULL);
}

static void tells_what_is_wrong(void) {
  mvmi_error* error = NULL;
  EXPECT(mvmi_open("kvm", "kvm.unix-soket=/a", &error) == NULL);
  EXPECT(mvmi_error_code(error) == MVMI_INVALID_ARGUMENT);
  EXPECT(strstr(mvmi_error_message(error), "did you mean kvm.unix-socket") != NULL);
  mvmi_error_free(error);
  error = NULL;
  EXPECT(mvmi_open(NULL, "vm-name=\"a", &error) == NULL);
  EXPECT(strstr(mvmi_error_message(error), "not closed") != NULL);
  mvmi_error_free(error);
}

static void opens_an_image(const char* folder) {
  static char page[8192];
  char path[512];
  char params[1024];
  char back[5] = {0};
  mvmi_error* error = NULL;
  snprintf(path, sizeof path, "%s/capi_test.raw", folder);
  FILE* file = fopen(path, "wb");
  EXPECT(file != NULL);
  if (file == NULL) return;
  memcpy(page + 4096, "guest", 5);
  EXPECT(fwrite(page, sizeof page, 1, file) == 1);
  EXPECT(fclose(file) == 0);
  snprintf(params, sizeof params, "memflow.coredump.filepath=%s,memflow.coredump.format=raw", path);
  mvmi_vm* vm = mvmi_open("memflow", params, &error);
  EXPECT(vm != NULL);
  if (vm == NULL) fprintf(stderr, "%s\n", mvmi_error_message(error));
  EXPECT(strcmp(vm ? mvmi_driver_of(vm) : "", "memflow") == 0);
  EXPECT(mvmi_end_of_memory(vm) == sizeof page);
  EXPECT((mvmi_capabilities(vm) & (unsigned)MVMI_CAN_PAUSE) == 0);
  EXPECT(mvmi_read(vm, 4096, back, sizeof back, &error) == 1 && error == NULL);
  EXPECT(memcmp(back, "guest", sizeof back) == 0);
  EXPECT(mvmi_read(vm, 4096, NULL, 0, NULL) == 1);
  EXPECT(mvmi_read(vm, 4096, NULL, 1, NULL) == 0);
  EXPECT(mvmi_read(vm, sizeof page, back, 1, &error) == 0);
  EXPECT(mvmi_error_code(error) == MVMI_HOLE);
  mvmi_error_free(error);
  error = NULL;
  EXPECT(mvmi_write(vm, 0, back, 1, &error) == 0);
  EXPECT(mvmi_error_code(error) != MVMI_OK);
  mvmi_error_free(error);
  mvmi_close(vm);
  EXPECT(remove(path) == 0);
}

int main(int argc, char** argv) {
  describes_every_driver();
  survives_null();
  tells_what_is_wrong();
  opens_an_image(argc > 1 ? argv[1] : ".");
  char* found = mvmi_scan_json();
  EXPECT(found != NULL && found[0] == '[');
  mvmi_text_free(found);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
