/*
 * What a fork leaves: a child's handles are invalid, our queue ends are closed in it, its own backends work; the
 * parent goes on as if nothing had been. Forks while other threads are inside the library, many times over.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static atomic_int stop;

static void *keep_busy(void *handle) {
  sandport_backend backend = *(sandport_backend *)handle;
  while (!atomic_load(&stop)) {
    sandport_call call = 0;
    sandport_queue queue = 0;
    int fd = -1;
    CHECK(sandport_queue_open(&queue, &fd, NULL) == SANDPORT_OK);
    CHECK(sandport_call_start(backend, queue, SANDPORT_OP_LIST, NULL, &call, NULL) == SANDPORT_OK);
    CHECK(sandport_call_start(backend, 0, SANDPORT_OP_LIST, NULL, &call, NULL) == SANDPORT_OK);
    CHECK(sandport_call_wait(call, -1, NULL, NULL) == SANDPORT_OK);
    CHECK(sandport_queue_close(queue) == SANDPORT_OK);
    close(fd);
  }
  return NULL;
}

static void expect_exit(pid_t child) {
  int status = 0;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What a child may and may not do. An alarm ends one that hangs. */
static void be_a_child(const char *folder, sandport_backend old, sandport_queue old_queue) {
  sandport_backend backend;
  sandport_call call = 0;
  int32_t status = 7;
  alarm(30);
  CHECK(sandport_list(old, NULL, NULL) == SANDPORT_INVALID_HANDLE);
  CHECK(sandport_backend_close(old) == SANDPORT_INVALID_HANDLE);
  CHECK(sandport_queue_close(old_queue) == SANDPORT_INVALID_HANDLE);
  backend = open_without_engine(folder);
  CHECK(backend != old);
  CHECK(sandport_list(old, NULL, NULL) == SANDPORT_INVALID_HANDLE);
  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_LIST, NULL, &call, NULL) == SANDPORT_OK);
  CHECK(sandport_call_wait(call, -1, &status, NULL) == SANDPORT_OK && status == SANDPORT_RUNTIME_UNAVAILABLE);
  CHECK(sandport_backend_close(backend) == SANDPORT_OK);
  _exit(0);
}

/* The child outlives the parent's queue; the caller's end must still read as ended. */
static void a_child_keeps_no_queue_open(void) {
  struct pollfd ready;
  sandport_queue queue = 0;
  int fd = -1, hold[2];
  char byte;
  pid_t child;
  CHECK(pipe(hold) == 0 && sandport_queue_open(&queue, &fd, NULL) == SANDPORT_OK);
  child = fork();
  if (child == 0) {
    alarm(30);
    close(hold[1]);
    _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
  }
  close(hold[0]);
  CHECK(sandport_queue_close(queue) == SANDPORT_OK);
  ready.fd = fd;
  ready.events = POLLIN;
  CHECK(poll(&ready, 1, 10000) == 1 && read(fd, &byte, 1) == 0);
  close(fd);
  close(hold[1]);
  expect_exit(child);
}

int main(void) {
  char folder[] = "/tmp/sandport-fork-XXXXXX", command[128];
  sandport_backend backend;
  sandport_queue queue = 0;
  pthread_t threads[4];
  int fd = -1, i;
  CHECK(mkdtemp(folder) != NULL);
  backend = open_without_engine(folder);
  CHECK(sandport_queue_open(&queue, &fd, NULL) == SANDPORT_OK);
  a_child_keeps_no_queue_open();
  for (i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, keep_busy, &backend) == 0);
  }
  for (i = 0; i < 50; i++) {
    pid_t child = fork();
    if (child == 0) {
      be_a_child(folder, backend, queue);
    }
    expect_exit(child);
  }
  atomic_store(&stop, 1);
  for (i = 0; i < 4; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHECK(sandport_list(backend, NULL, NULL) == SANDPORT_RUNTIME_UNAVAILABLE);
  CHECK(sandport_queue_close(queue) == SANDPORT_OK && sandport_backend_close(backend) == SANDPORT_OK);
  close(fd);
  snprintf(command, sizeof command, "rm -rf %s", folder);
  CHECK(system(command) == 0);
  return 0;
}
