/*
 * Two hundred calls in flight, closed in every order: each by itself, with their queue, with their backend; a host
 * that never drains its descriptor, and one that closed it. Run under valgrind: no error, no leak.
 */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"

enum { CALLS = 200 };

/* Nothing listens there: a call that needs no engine and lasts until it is cancelled. */
static const char *const WAIT = "{\"sandbox_url\": \"http://127.0.0.1:9\", \"timeout_seconds\": 60}";
static const char *const BRIEF = "{\"sandbox_url\": \"http://127.0.0.1:9\", \"timeout_seconds\": 0.01}";

static sandport_backend open_one(void) {
  sandport_backend backend = 0;
  char *response = UNWRITTEN;
  CHECK(sandport_backend_open("{\"endpoint\": \"unix:///no/such/engine.sock\", \"runtime\": \"docker\"}", &backend,
                              &response) == SANDPORT_OK);
  CHECK(answered(SANDPORT_OK, response));
  return backend;
}

static sandport_call start(sandport_backend backend, sandport_queue queue, const char *request) {
  sandport_call call = 0;
  char *response = UNWRITTEN;
  int32_t status = sandport_call_start(backend, queue, SANDPORT_OP_WAIT_READY, request, &call, &response);
  CHECK(answered(status, response) && status == SANDPORT_OK && call != 0);
  return call;
}

static void *closes_its_half(void *calls) {
  for (int number = 1; number < CALLS; number += 2) {
    CHECK(sandport_call_close(((sandport_call *)calls)[number]) == SANDPORT_OK);
  }
  return NULL;
}

/* From both ends and two threads at once. */
static void close_each(void) {
  sandport_call calls[CALLS];
  pthread_t other;
  sandport_backend backend = open_one();
  for (int number = 0; number < CALLS; number++) {
    calls[number] = start(backend, 0, WAIT);
  }
  CHECK(pthread_create(&other, NULL, closes_its_half, calls) == 0);
  for (int number = CALLS - 2; number >= 0; number -= 2) {
    CHECK(sandport_call_close(calls[number]) == SANDPORT_OK);
  }
  CHECK(pthread_join(other, NULL) == 0);
  CHECK(sandport_call_close(calls[0]) == SANDPORT_INVALID_HANDLE);
  CHECK(sandport_backend_close(backend) == SANDPORT_OK);
}

/* Each is cancelled and delivered once, although nobody drains the descriptor. */
static void cancel_and_deliver(void) {
  sandport_call calls[CALLS];
  sandport_queue queue = 0;
  int fd = -1, delivered = 0;
  char *response = UNWRITTEN;
  sandport_backend backend = open_one();
  CHECK(sandport_queue_open(&queue, &fd, &response) == SANDPORT_OK && answered(SANDPORT_OK, response));
  for (int number = 0; number < CALLS; number++) {
    calls[number] = start(backend, queue, number % 2 ? WAIT : BRIEF);
  }
  for (int number = 0; number < CALLS; number++) {
    CHECK(sandport_call_cancel(calls[number]) == SANDPORT_OK);
  }
  while (delivered < CALLS) {
    sandport_call call = 0;
    int32_t status = 0;
    struct pollfd ready = {fd, POLLIN, 0};
    response = UNWRITTEN;
    if (sandport_queue_next(queue, &call, &status, &response) == SANDPORT_OK) {
      CHECK(status == SANDPORT_OK || status == SANDPORT_CANCELLED);
      CHECK(answered(status, response));
      delivered++;
    } else {
      CHECK(answered(SANDPORT_NOT_READY, response));
      CHECK(poll(&ready, 1, 60000) == 1);
    }
  }
  CHECK(sandport_queue_close(queue) == SANDPORT_OK);
  CHECK(close(fd) == 0);
  CHECK(sandport_backend_close(backend) == SANDPORT_OK);
}

/* The queue goes first, with a read end that was closed before; then the backend under the rest. */
static void close_under_them(void) {
  sandport_queue queue = 0;
  int fd = -1;
  char *response = UNWRITTEN;
  sandport_backend backend = open_one();
  CHECK(sandport_queue_open(&queue, &fd, &response) == SANDPORT_OK && answered(SANDPORT_OK, response));
  for (int number = 0; number < CALLS; number++) {
    start(backend, queue, number % 2 ? WAIT : BRIEF);
  }
  CHECK(close(fd) == 0);
  CHECK(sandport_queue_close(queue) == SANDPORT_OK);
  sandport_call waited = start(backend, 0, WAIT);
  CHECK(sandport_backend_close(backend) == SANDPORT_OK);
  int32_t status = 0;
  response = UNWRITTEN;
  CHECK(sandport_call_wait(waited, -1, &status, &response) == SANDPORT_OK);
  CHECK(status == SANDPORT_CANCELLED && answered(status, response));
}

static int threads(void) {
  char line[256];
  int count = 0;
  FILE *file = fopen("/proc/self/status", "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "Threads: %d", &count) == 1) {
      break;
    }
  }
  fclose(file);
  return count;
}

int main(void) {
  int before = threads();
  close_each();
  cancel_and_deliver();
  close_under_them();
  /* The library's threads end by themselves; each look gives them the processor. */
  for (int looks = 0; threads() > before; looks++) {
    CHECK(looks < 3000);
    poll(NULL, 0, 10);
  }
  printf("%d calls at a time, closed in every order\n", CALLS);
  return 0;
}
