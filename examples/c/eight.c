/*
 * Eight sandboxes at once from one thread: no thread of ours, no callback, one poll().
 *
 * Each create is started on a queue. The queue's descriptor stands in poll() beside a pipe that SIGINT writes to; while
 * nothing happens, the progress of each call is drawn. Ctrl-C cancels them all: a cancelled create leaves nothing.
 *
 * Build:  cc -Iinclude examples/c/eight.c -lsandport -o eight
 * Run:    SANDPORT_IMAGE=my-image:latest ./eight
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sandport.h>

enum { SANDBOXES = 8, REDRAW_MS = 100 };

struct work {
  sandport_call call; /* 0 once its result was delivered */
  int32_t status;
  char note[64];
};

static int interrupted[2];

/* A signal handler may do little; a byte in a pipe wakes poll(). */
static void on_interrupt(int signal) {
  ssize_t written = write(interrupted[1], "", 1);
  (void)signal;
  (void)written;
}

static void drain(int fd) {
  char bytes[64];
  while (read(fd, bytes, sizeof bytes) > 0) {
  }
}

/* The text of a JSON member, for the eye only: a program that needs more than this takes a JSON parser. */
static void member(const char *json, const char *name, char *text, size_t size) {
  const char *at = strstr(json, name);
  size_t length = 0;
  if (at != NULL) {
    at += strlen(name);
    length = strcspn(at, "\",}");
  }
  snprintf(text, size, "%.*s", (int)length, at != NULL ? at : "");
}

static void start_all(sandport_backend backend, sandport_queue queue, struct work *work) {
  char request[64];
  char *answer = NULL;
  int i;
  for (i = 0; i < SANDBOXES; i++) {
    snprintf(request, sizeof request, "{\"sandbox_id\": \"eight-%d\"}", i);
    work[i].status = sandport_call_start(backend, queue, SANDPORT_OP_CREATE, request, &work[i].call, &answer);
    if (work[i].status != SANDPORT_OK) {
      snprintf(work[i].note, sizeof work[i].note, "not started");
    }
    sandport_string_free(answer);
  }
}

/* Takes every result that is there; returns how many. */
static int take_results(sandport_queue queue, struct work *work) {
  sandport_call call = 0;
  int32_t status = 0;
  char *answer = NULL;
  int taken = 0, i;
  while (sandport_queue_next(queue, &call, &status, &answer) == SANDPORT_OK) {
    for (i = 0; i < SANDBOXES; i++) {
      if (work[i].call == call) {
        work[i].call = 0;
        work[i].status = status;
        member(answer, status == SANDPORT_OK ? "\"sandbox_url\":\"" : "\"message\":\"", work[i].note,
               sizeof work[i].note);
        taken++;
      }
    }
    sandport_string_free(answer);
  }
  sandport_string_free(answer); /* "the queue is empty" is an answer too */
  return taken;
}

/* One line for each, drawn over the last ones on a terminal; elsewhere only the first and the last picture. */
static void draw(struct work *work, int drawn, int last) {
  char *progress = NULL;
  int i;
  if (drawn > 0 && isatty(STDOUT_FILENO)) {
    printf("\033[%dA", SANDBOXES);
  } else if (drawn > 0 && !last) {
    return;
  }
  for (i = 0; i < SANDBOXES; i++) {
    const char *state = sandport_status_name(work[i].status);
    if (work[i].call != 0 && sandport_call_progress(work[i].call, &progress) == SANDPORT_OK) {
      member(progress, "\"phase\":\"", work[i].note, sizeof work[i].note);
      state = strstr(progress, "\"cancelling\":true") != NULL ? "cancelling" : "running";
    }
    sandport_string_free(progress);
    progress = NULL;
    printf("eight-%d  %-12s %-60s\n", i, state, work[i].note);
  }
  fflush(stdout);
}

static void destroy_all(sandport_backend backend, const struct work *work) {
  char request[64];
  int i;
  for (i = 0; i < SANDBOXES; i++) {
    if (work[i].status == SANDPORT_OK) {
      snprintf(request, sizeof request, "{\"sandbox_id\": \"eight-%d\"}", i);
      sandport_destroy(backend, request, NULL);
    }
  }
}

int main(void) {
  struct work work[SANDBOXES];
  struct sigaction action;
  struct pollfd wait_for[2];
  sandport_backend backend = 0;
  sandport_queue queue = 0;
  const char *image = getenv("SANDPORT_IMAGE");
  char config[512] = "{}";
  char *answer = NULL;
  int fd = -1, open_calls = 0, drawn = 0, failed = 0, i;

  memset(work, 0, sizeof work);
  if (image != NULL) {
    snprintf(config, sizeof config, "{\"image\": \"%.400s\"}", image);
  }
  if (sandport_backend_open(config, &backend, &answer) != SANDPORT_OK) {
    fprintf(stderr, "%s\n", answer);
    sandport_string_free(answer);
    return 1;
  }
  sandport_string_free(answer);
  if (sandport_queue_open(&queue, &fd, NULL) != SANDPORT_OK || pipe(interrupted) != 0 ||
      fcntl(interrupted[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(interrupted[1], F_SETFL, O_NONBLOCK) != 0) {
    fprintf(stderr, "no descriptors left\n");
    return 1;
  }
  memset(&action, 0, sizeof action);
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, NULL);

  start_all(backend, queue, work);
  for (i = 0; i < SANDBOXES; i++) {
    open_calls += work[i].call != 0;
  }
  while (open_calls > 0) {
    draw(work, drawn++, 0);
    wait_for[0].fd = fd;
    wait_for[1].fd = interrupted[0];
    wait_for[0].events = wait_for[1].events = POLLIN;
    wait_for[0].revents = wait_for[1].revents = 0;
    /* The time limit is for the drawing only; results need none. A signal ends poll() early, which does no harm. */
    poll(wait_for, 2, REDRAW_MS);
    if (wait_for[1].revents != 0) {
      drain(interrupted[0]);
      for (i = 0; i < SANDBOXES; i++) {
        if (work[i].call != 0) {
          sandport_call_cancel(work[i].call);
        }
      }
    }
    if (wait_for[0].revents != 0) {
      drain(fd);
      open_calls -= take_results(queue, work);
    }
  }
  draw(work, drawn, 1);
  for (i = 0; i < SANDBOXES; i++) {
    failed += work[i].status != SANDPORT_OK;
  }

  destroy_all(backend, work);
  sandport_queue_close(queue);
  close(fd);
  sandport_backend_close(backend);
  return failed > 0 ? 1 : 0;
}
