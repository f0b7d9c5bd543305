/*
 * The whole life of a sandbox, step by step with its time:
 *
 *     open a backend, make a sandbox, run a command in it, find it again from another process, end it.
 *
 * Build:  cc -Iinclude examples/c/lifecycle.c -lsandport -o lifecycle
 * Run:    SANDPORT_IMAGE=my-image:latest ./lifecycle
 *
 * SANDPORT_IMAGE is this example's own variable; without it the library's default image is used.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sandport.h>

/* The id is ours to choose. Whoever knows it finds the sandbox again. */
#define SANDBOX "{\"sandbox_id\": \"lifecycle\"}"

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Prints one step with its time and its answer, frees the answer, and says whether it worked. */
static int step(const char *name, double began, int32_t status, char *answer) {
  printf("%-10s %8.1f ms  %-8s %.300s\n", name, (seconds() - began) * 1e3, sandport_status_name(status),
         answer != NULL ? answer : "");
  fflush(stdout);
  sandport_string_free(answer);
  return status == SANDPORT_OK;
}

static int open_backend(sandport_backend *backend) {
  const char *image = getenv("SANDPORT_IMAGE");
  char config[512] = "{}";
  char *answer = NULL;
  double began = seconds();
  int32_t status;
  if (image != NULL) {
    /* An image's name has no character that JSON would want escaped. */
    snprintf(config, sizeof config, "{\"image\": \"%.400s\"}", image);
  }
  status = sandport_backend_open(config, backend, &answer);
  return step("open", began, status, answer);
}

/* What a second process does: it knows the id and nothing else. */
static int discover(void) {
  sandport_backend backend = 0;
  char *answer = NULL;
  double began;
  int32_t status;
  int found;
  if (!open_backend(&backend)) {
    return 0;
  }
  began = seconds();
  status = sandport_discover(backend, SANDBOX, &answer);
  found = status == SANDPORT_OK && strstr(answer, "\"sandbox\":null") == NULL;
  step("discover", began, status, answer);
  sandport_backend_close(backend);
  return found;
}

/* Starts this program once more. Handles do not survive a fork; so the child begins anew, with exec. */
static int discover_from_another_process(char *program) {
  char *arguments[] = {program, "discover", NULL};
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    execvp(program, arguments);
    _exit(127);
  }
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int count, char **arguments) {
  sandport_backend backend = 0;
  char *answer = NULL;
  double began;
  int32_t status;
  int worked;

  if (sandport_abi_version() != SANDPORT_ABI_VERSION) {
    fprintf(stderr, "the library speaks ABI %" PRIu32 ", the header %d\n", sandport_abi_version(),
            SANDPORT_ABI_VERSION);
    return 1;
  }
  if (count > 1 && strcmp(arguments[1], "discover") == 0) {
    return discover() ? 0 : 1;
  }
  printf("sandport %s\n", sandport_version());

  /* One configuration. It does not fail because no engine runs; the first call then says so, and what to do. */
  if (!open_backend(&backend)) {
    return 1;
  }

  /* Returns when the sandbox answers. Were there one of this id, it would be adopted. */
  began = seconds();
  status = sandport_create(backend, SANDBOX, &answer);
  worked = step("create", began, status, answer);

  if (worked) {
    /* An HTTP request to that sandbox. What it answers depends on the image; here it runs a command. */
    began = seconds();
    status = sandport_request(backend,
                              "{\"sandbox_id\": \"lifecycle\", \"method\": \"POST\", \"path\": \"/v1/shell/exec\","
                              " \"headers\": {\"content-type\": \"application/json\"},"
                              " \"body\": \"{\\\"command\\\": \\\"echo hello from a sandbox\\\"}\"}",
                              &answer);
    worked = step("request", began, status, answer);
  }

  if (worked) {
    worked = discover_from_another_process(arguments[0]);
  }

  /* Ends it whatever happened above. A sandbox that is already gone is no error. */
  began = seconds();
  status = sandport_destroy(backend, SANDBOX, &answer);
  worked = step("destroy", began, status, answer) && worked;

  sandport_backend_close(backend);
  return worked ? 0 : 1;
}
