/*
 * A host that has no threads or descriptors left gets an error that says so, and may try again once it has some.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"

/* Bytes of address space in use. */
static rlim_t mapped(void) {
  unsigned long pages = 0;
  FILE *about = fopen("/proc/self/statm", "r");
  CHECK(about != NULL && fscanf(about, "%lu", &pages) == 1);
  fclose(about);
  return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void without_room_for_a_stack(sandport_backend backend) {
  struct rlimit before, narrow;
  sandport_call call = 7;
  char *response = UNWRITTEN;
  int32_t status;
  CHECK(getrlimit(RLIMIT_AS, &before) == 0);
  narrow = before;
  narrow.rlim_cur = mapped() + 512 * 1024;
  CHECK(setrlimit(RLIMIT_AS, &narrow) == 0);
  status = sandport_call_start(backend, 0, SANDPORT_OP_LIST, NULL, &call, &response);
  CHECK(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(status == SANDPORT_INTERNAL && call == 0);
  CHECK(strstr(response, "\"retryable\":true") != NULL);
  CHECK(answered(status, response));

  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_LIST, NULL, &call, NULL) == SANDPORT_OK);
  CHECK(sandport_call_wait(call, -1, &status, NULL) == SANDPORT_OK && status == SANDPORT_RUNTIME_UNAVAILABLE);
}

static void without_descriptors(void) {
  struct rlimit before, narrow;
  sandport_queue queue = 7;
  char *response = UNWRITTEN;
  int32_t status;
  int fd = 7;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  narrow = before;
  narrow.rlim_cur = 3;
  CHECK(setrlimit(RLIMIT_NOFILE, &narrow) == 0);
  status = sandport_queue_open(&queue, &fd, &response);
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(status == SANDPORT_INTERNAL && queue == 0 && fd == -1);
  CHECK(strstr(response, "\"retryable\":true") != NULL);
  CHECK(answered(status, response));
  CHECK(sandport_queue_open(&queue, &fd, NULL) == SANDPORT_OK && sandport_queue_close(queue) == SANDPORT_OK);
  close(fd);
}

int main(void) {
  char folder[] = "/tmp/sandport-limits-XXXXXX", command[128];
  sandport_backend backend;
  CHECK(mkdtemp(folder) != NULL);
  backend = open_without_engine(folder);
  without_descriptors();
  without_room_for_a_stack(backend);
  CHECK(sandport_backend_close(backend) == SANDPORT_OK);
  snprintf(command, sizeof command, "rm -rf %s", folder);
  CHECK(system(command) == 0);
  return 0;
}
