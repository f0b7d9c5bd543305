/* What the C tests share: a check that says where it failed, and answers that are read and freed. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandport.h"

#define CHECK(what)                                                                                \
  do {                                                                                             \
    if (!(what)) {                                                                                 \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                           \
      exit(1);                                                                                     \
    }                                                                                              \
  } while (0)

/* A pointer that no answer can be; so an out-parameter that was not written is seen. */
#define UNWRITTEN ((char *)(uintptr_t)1)

/* Whether an answer fits its status: an error object that bears the status's word, or none. Frees it. */
static inline int answered(int32_t status, char *response) {
  int fits;
  char word[64];
  if (response == NULL || response == UNWRITTEN) {
    return 0;
  }
  snprintf(word, sizeof word, "\"code\":\"%s\"", sandport_status_name(status));
  if (status == SANDPORT_OK) {
    fits = response[0] == '{' && strncmp(response, "{\"error\"", 8) != 0;
  } else {
    fits = strncmp(response, "{\"error\":{", 10) == 0 && strstr(response, word) != NULL;
  }
  if (!fits) {
    fprintf(stderr, "status %d (%s) with %s\n", (int)status, sandport_status_name(status), response);
  }
  sandport_string_free(response);
  return fits;
}

/* Opens a backend whose engine is not there, in a state directory of its own. */
static inline sandport_backend open_without_engine(const char *state_dir) {
  char config[512];
  char *response = UNWRITTEN;
  sandport_backend backend = 0;
  int32_t status;
  snprintf(config, sizeof config,
           "{\"runtime\": \"docker\", \"endpoint\": \"unix://%s/no-engine.sock\", \"state_dir\": \"%s\"}",
           state_dir, state_dir);
  status = sandport_backend_open(config, &backend, &response);
  CHECK(answered(status, response));
  CHECK(status == SANDPORT_OK && backend != 0);
  return backend;
}

#endif
