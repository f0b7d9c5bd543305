/*
 * Breaks every rule of the header and expects errors: NULL, invented handles, JSON of every wrong kind, closing twice.
 * Needs no engine. Runs under valgrind too, where every string must have been freed.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

typedef int32_t (*operation_fn)(sandport_backend, const char *, char **);

/* In the order of the SANDPORT_OP_ numbers. */
static const operation_fn operations[] = {sandport_create,  sandport_destroy, sandport_discover,
                                          sandport_is_alive, sandport_list,    sandport_request,
                                          sandport_release, sandport_reap,    sandport_wait_ready};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static const char *const wrong_json[] = {
    "",           " ",          "{",           "}",          "[]",
    "[{}]",       "null",       "1",           "\"text\"",   "{}x",
    "{} {}",      "{'a': 1}",   "{\"a\": 1,}", "{\"a\" 1}",  "{\"no_such_field\": 1}",
    "{\"\": 1}",  "\xff",       "{\"\xff\": 1}", "{\"a\": \xc3}", "{\"sandbox_id\": \"\xed\xa0\x80\"}",
    "{\"sandbox_id\": \"a\", \"sandbox_id\": \"a\"}",
    "{\"sandbox\": {\"a\": {\"b\": 1, \"b\": 2}}}",
    "{\"sandbox_id\": 1e999}", "{\"sandbox_id\": NaN}", "{\"sandbox_id\": \"\\ud800\"}",
    "\xef\xbb\xbf{}"};
enum { WRONG = sizeof wrong_json / sizeof wrong_json[0] };

static const uint64_t invented[] = {0, 1, 2, 4096, (uint64_t)1 << 50, ((uint64_t)1 << 53) - 1, UINT64_MAX};
enum { INVENTED = sizeof invented / sizeof invented[0] };

static char *repeated(size_t length, char byte) {
  char *text = malloc(length + 1);
  CHECK(text != NULL);
  memset(text, byte, length);
  text[length] = '\0';
  return text;
}

static void numbers_have_words(void) {
  CHECK(sandport_abi_version() == SANDPORT_ABI_VERSION);
  CHECK(sandport_version()[0] != '\0');
  CHECK(strcmp(sandport_status_name(SANDPORT_OK), "ok") == 0);
  CHECK(strcmp(sandport_status_name(SANDPORT_NAME_CONFLICT), "name_conflict") == 0);
  CHECK(strcmp(sandport_status_name(-1), "unknown") == 0);
  CHECK(strcmp(sandport_status_name(INT32_MIN), "unknown") == 0);
  sandport_string_free(NULL);
}

/* Every function that takes a handle, with one that is not open. */
static void a_handle_that_is_not_open_is_refused(uint64_t handle) {
  char *response;
  sandport_call call;
  int32_t status;
  size_t i;
  for (i = 0; i < OPERATIONS; i++) {
    response = UNWRITTEN;
    CHECK(operations[i](handle, "{}", &response) == SANDPORT_INVALID_HANDLE);
    CHECK(answered(SANDPORT_INVALID_HANDLE, response));
    CHECK(operations[i](handle, NULL, NULL) == SANDPORT_INVALID_HANDLE);
    response = UNWRITTEN;
    call = 7;
    CHECK(sandport_call_start(handle, 0, (uint32_t)i + 1, "{}", &call, &response) == SANDPORT_INVALID_HANDLE);
    CHECK(call == 0 && answered(SANDPORT_INVALID_HANDLE, response));
  }
  response = UNWRITTEN;
  status = 7;
  CHECK(sandport_call_wait(handle, 0, &status, &response) == SANDPORT_INVALID_HANDLE);
  CHECK(status == -1 && answered(SANDPORT_INVALID_HANDLE, response));
  response = UNWRITTEN;
  CHECK(sandport_call_progress(handle, &response) == SANDPORT_INVALID_HANDLE);
  CHECK(answered(SANDPORT_INVALID_HANDLE, response));
  response = UNWRITTEN;
  status = 7;
  call = 7;
  CHECK(sandport_queue_next(handle, &call, &status, &response) == SANDPORT_INVALID_HANDLE);
  CHECK(call == 0 && status == -1 && answered(SANDPORT_INVALID_HANDLE, response));
  CHECK(sandport_call_cancel(handle) == SANDPORT_INVALID_HANDLE);
  CHECK(sandport_call_close(handle) == SANDPORT_INVALID_HANDLE);
  CHECK(sandport_queue_close(handle) == SANDPORT_INVALID_HANDLE);
  CHECK(sandport_backend_close(handle) == SANDPORT_INVALID_HANDLE);
}

static void a_request_is_refused(sandport_backend backend, const char *json) {
  char *response;
  sandport_backend opened = 7;
  sandport_call call;
  size_t i;
  for (i = 0; i < OPERATIONS; i++) {
    response = UNWRITTEN;
    CHECK(operations[i](backend, json, &response) == SANDPORT_INVALID_ARGUMENT);
    CHECK(answered(SANDPORT_INVALID_ARGUMENT, response));
    response = UNWRITTEN;
    call = 7;
    CHECK(sandport_call_start(backend, 0, (uint32_t)i + 1, json, &call, &response) == SANDPORT_INVALID_ARGUMENT);
    CHECK(call == 0 && answered(SANDPORT_INVALID_ARGUMENT, response));
  }
  response = UNWRITTEN;
  CHECK(sandport_backend_open(json, &opened, &response) == SANDPORT_INVALID_ARGUMENT);
  CHECK(opened == 0 && answered(SANDPORT_INVALID_ARGUMENT, response));
  response = UNWRITTEN;
  CHECK(sandport_allocate_port(json, &response) == SANDPORT_INVALID_ARGUMENT);
  CHECK(answered(SANDPORT_INVALID_ARGUMENT, response));
  response = UNWRITTEN;
  CHECK(sandport_release_port(json, &response) == SANDPORT_INVALID_ARGUMENT);
  CHECK(answered(SANDPORT_INVALID_ARGUMENT, response));
  response = UNWRITTEN;
  CHECK(sandport_set_log(json, &response) == SANDPORT_INVALID_ARGUMENT);
  CHECK(answered(SANDPORT_INVALID_ARGUMENT, response));
}

static void wrong_requests_are_refused(sandport_backend backend) {
  char *text, *response;
  size_t i;
  for (i = 0; i < WRONG; i++) {
    a_request_is_refused(backend, wrong_json[i]);
  }
  /* Deep enough to overflow a stack that trusts it. */
  text = repeated(200000, '[');
  a_request_is_refused(backend, text);
  free(text);
  text = repeated(900000, '{');
  a_request_is_refused(backend, text);
  free(text);
  /* One byte too many. */
  text = repeated((1 << 20) + 1, ' ');
  memcpy(text, "{}", 2);
  response = UNWRITTEN;
  CHECK(sandport_list(backend, text, &response) == SANDPORT_INVALID_ARGUMENT);
  CHECK(answered(SANDPORT_INVALID_ARGUMENT, response));
  text[1 << 20] = '\0';
  CHECK(sandport_list(backend, text, NULL) == SANDPORT_RUNTIME_UNAVAILABLE);
  free(text);
  text = repeated((32 << 20) + 1, ' ');
  CHECK(sandport_request(backend, text, NULL) == SANDPORT_INVALID_ARGUMENT);
  free(text);
}

static void missing_addresses_are_refused(sandport_backend backend) {
  char *response = UNWRITTEN;
  sandport_queue queue = 7;
  int32_t status = 7;
  int fd = 7;
  CHECK(sandport_backend_open("{}", NULL, &response) == SANDPORT_INVALID_ARGUMENT);
  CHECK(answered(SANDPORT_INVALID_ARGUMENT, response));
  CHECK(sandport_backend_open(NULL, NULL, NULL) == SANDPORT_INVALID_ARGUMENT);
  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_LIST, NULL, NULL, NULL) == SANDPORT_INVALID_ARGUMENT);
  CHECK(sandport_queue_open(NULL, &fd, NULL) == SANDPORT_INVALID_ARGUMENT && fd == -1);
  CHECK(sandport_queue_open(&queue, NULL, NULL) == SANDPORT_INVALID_ARGUMENT && queue == 0);
  CHECK(sandport_queue_open(&queue, &fd, NULL) == SANDPORT_OK);
  CHECK(sandport_queue_next(queue, NULL, &status, NULL) == SANDPORT_INVALID_ARGUMENT && status == -1);
  CHECK(sandport_queue_close(queue) == SANDPORT_OK);
  close(fd);
}

static void an_operation_without_a_number_is_refused(sandport_backend backend) {
  const uint32_t none[] = {0, 10, 99, UINT32_MAX};
  size_t i;
  for (i = 0; i < sizeof none / sizeof none[0]; i++) {
    char *response = UNWRITTEN;
    sandport_call call = 7;
    CHECK(sandport_call_start(backend, 0, none[i], "{}", &call, &response) == SANDPORT_INVALID_ARGUMENT);
    CHECK(call == 0 && answered(SANDPORT_INVALID_ARGUMENT, response));
  }
}

/* A port that takes connections and never says a word. */
static int silent_server(char *request, size_t size) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  int server = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(server >= 0 && bind(server, (struct sockaddr *)&address, sizeof address) == 0);
  CHECK(listen(server, 64) == 0 && getsockname(server, (struct sockaddr *)&address, &length) == 0);
  snprintf(request, size, "{\"sandbox_url\": \"http://127.0.0.1:%d\", \"timeout_seconds\": 600}",
           ntohs(address.sin_port));
  return server;
}

static void a_result_comes_once_by_wait(sandport_backend backend) {
  sandport_call call = 0;
  int32_t status = 7;
  char *response = UNWRITTEN;
  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_LIST, NULL, &call, &response) == SANDPORT_OK);
  CHECK(call != 0 && answered(SANDPORT_OK, response));
  response = UNWRITTEN;
  CHECK(sandport_call_wait(call, -1, &status, &response) == SANDPORT_OK);
  CHECK(status == SANDPORT_RUNTIME_UNAVAILABLE && answered(status, response));
  a_handle_that_is_not_open_is_refused(call);
}

static void a_waiting_call_can_be_looked_at_and_cancelled(sandport_backend backend, const char *forever) {
  sandport_call call = 0;
  int32_t status = 7;
  char *response = UNWRITTEN;
  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_WAIT_READY, forever, &call, NULL) == SANDPORT_OK);
  CHECK(sandport_call_wait(call, -2, &status, NULL) == SANDPORT_INVALID_ARGUMENT && status == -1);
  CHECK(sandport_call_wait(call, 0, &status, &response) == SANDPORT_TIMEOUT && status == -1);
  CHECK(answered(SANDPORT_TIMEOUT, response));
  CHECK(sandport_call_wait(call, 20, NULL, NULL) == SANDPORT_TIMEOUT);
  CHECK(sandport_call_progress(call, NULL) == SANDPORT_OK);
  CHECK(sandport_call_progress(call, &response) == SANDPORT_OK);
  CHECK(strstr(response, "\"cancelling\":false") && strstr(response, "\"pull\":null"));
  CHECK(answered(SANDPORT_OK, response));
  CHECK(sandport_call_cancel(call) == SANDPORT_OK);
  CHECK(sandport_call_cancel(call) == SANDPORT_OK);
  response = UNWRITTEN;
  CHECK(sandport_call_wait(call, -1, &status, &response) == SANDPORT_OK);
  CHECK(status == SANDPORT_CANCELLED && answered(status, response));
  CHECK(sandport_call_cancel(call) == SANDPORT_INVALID_HANDLE);

  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_WAIT_READY, forever, &call, NULL) == SANDPORT_OK);
  CHECK(sandport_call_close(call) == SANDPORT_OK);
  CHECK(sandport_call_close(call) == SANDPORT_INVALID_HANDLE);
}

struct blocked {
  sandport_backend backend;
  char request[128];
  int32_t status;
  char *response;
};

static void *block(void *argument) {
  struct blocked *blocked = argument;
  blocked->status = sandport_wait_ready(blocked->backend, blocked->request, &blocked->response);
  return NULL;
}

/* It has its own share of the backend, so a close from another thread takes nothing away from it. */
static void a_blocking_call_outlives_its_backend(const char *folder) {
  struct blocked blocked = {0, "", 7, UNWRITTEN};
  pthread_t thread;
  char forever[128];
  int server = silent_server(forever, sizeof forever), connection;
  /* The same port, for a moment only. */
  snprintf(blocked.request, sizeof blocked.request, "%.*s 0.5}", (int)(strrchr(forever, ' ') - forever), forever);
  blocked.backend = open_without_engine(folder);
  CHECK(pthread_create(&thread, NULL, block, &blocked) == 0);
  connection = accept(server, NULL, NULL);
  CHECK(connection >= 0 && sandport_backend_close(blocked.backend) == SANDPORT_OK);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(blocked.status == SANDPORT_OK && strstr(blocked.response, "\"ready\":false") != NULL);
  CHECK(answered(blocked.status, blocked.response));
  close(connection);
  close(server);
}

static void await(int fd) {
  struct pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
  char drained[16];
  CHECK(poll(&ready, 1, 60000) == 1);
  while (read(fd, drained, sizeof drained) > 0) {
  }
}

/* More calls than run at once; all of them are cancelled and each result comes once. */
static void a_queue_gives_every_result(sandport_backend backend, const char *forever) {
  enum { CALLS = 50 };
  sandport_call calls[CALLS], call = 7;
  sandport_queue queue = 0;
  int32_t status = 7;
  int fd = -1, seen = 0, i;
  char *response = UNWRITTEN;
  CHECK(sandport_queue_open(&queue, &fd, &response) == SANDPORT_OK && queue != 0 && fd >= 0);
  CHECK(answered(SANDPORT_OK, response));
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) && (fcntl(fd, F_GETFL) & O_NONBLOCK));
  response = UNWRITTEN;
  CHECK(sandport_queue_next(queue, &call, &status, &response) == SANDPORT_NOT_READY);
  CHECK(call == 0 && status == -1 && answered(SANDPORT_NOT_READY, response));
  for (i = 0; i < CALLS; i++) {
    CHECK(sandport_call_start(backend, queue, SANDPORT_OP_WAIT_READY, forever, &calls[i], NULL) == SANDPORT_OK);
  }
  CHECK(sandport_call_wait(calls[0], 0, &status, NULL) == SANDPORT_INVALID_ARGUMENT);
  for (i = CALLS - 1; i >= 0; i--) {
    CHECK(sandport_call_cancel(calls[i]) == SANDPORT_OK);
  }
  while (seen < CALLS) {
    await(fd);
    while (sandport_queue_next(queue, &call, &status, &response) == SANDPORT_OK) {
      CHECK(status == SANDPORT_CANCELLED && answered(status, response));
      for (i = 0; i < CALLS && calls[i] != call; i++) {
      }
      CHECK(i < CALLS);
      calls[i] = 0;
      seen++;
    }
    CHECK(answered(SANDPORT_NOT_READY, response));
  }
  CHECK(sandport_call_start(backend, queue, SANDPORT_OP_WAIT_READY, forever, &call, NULL) == SANDPORT_OK);
  CHECK(sandport_queue_close(queue) == SANDPORT_OK);
  a_handle_that_is_not_open_is_refused(queue);
  a_handle_that_is_not_open_is_refused(call);
  await(fd);
  close(fd);
}

/* SIGPIPE has its default action here, and would end this program. */
static void a_closed_reader_does_not_end_the_host(sandport_backend backend) {
  sandport_queue queue = 0;
  sandport_call call = 0, ended = 0;
  int32_t status = 7;
  int fd = -1, log_pipe[2];
  char request[64];
  CHECK(pipe(log_pipe) == 0);
  snprintf(request, sizeof request, "{\"level\": \"debug\", \"fd\": %d}", log_pipe[1]);
  CHECK(sandport_set_log(request, NULL) == SANDPORT_OK);
  close(log_pipe[0]);
  close(log_pipe[1]);
  CHECK(sandport_queue_open(&queue, &fd, NULL) == SANDPORT_OK);
  close(fd);
  CHECK(sandport_call_start(backend, queue, SANDPORT_OP_LIST, NULL, &call, NULL) == SANDPORT_OK);
  while (sandport_queue_next(queue, &ended, &status, NULL) == SANDPORT_NOT_READY) {
    struct timespec moment = {0, 1000000};
    nanosleep(&moment, NULL);
  }
  CHECK(ended == call && status == SANDPORT_RUNTIME_UNAVAILABLE);
  CHECK(sandport_queue_close(queue) == SANDPORT_OK);
  CHECK(sandport_set_log("{\"level\": \"off\"}", NULL) == SANDPORT_OK);
}

static void the_log_is_json_lines_of_mode_0600(sandport_backend backend, const char *folder) {
  char path[256], request[512], line[8192];
  struct stat about;
  FILE *log;
  int lines = 0;
  sandport_call call = 0;
  snprintf(path, sizeof path, "%s/log", folder);
  snprintf(request, sizeof request, "{\"level\": \"debug\", \"path\": \"%s\"}", path);
  CHECK(sandport_set_log(request, NULL) == SANDPORT_OK);
  CHECK(sandport_set_log("{\"level\": \"debug\"}", NULL) == SANDPORT_INVALID_ARGUMENT);
  CHECK(sandport_set_log("{\"level\": \"loud\", \"fd\": 2}", NULL) == SANDPORT_INVALID_ARGUMENT);
  CHECK(sandport_set_log("{\"level\": \"debug\", \"fd\": 999}", NULL) == SANDPORT_INVALID_ARGUMENT);
  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_LIST, NULL, &call, NULL) == SANDPORT_OK);
  CHECK(sandport_call_wait(call, -1, NULL, NULL) == SANDPORT_OK);
  CHECK(sandport_set_log("{\"level\": \"off\"}", NULL) == SANDPORT_OK);
  CHECK(stat(path, &about) == 0 && (about.st_mode & 0777) == 0600);
  log = fopen(path, "r");
  CHECK(log != NULL);
  while (fgets(line, sizeof line, log) != NULL) {
    CHECK(line[0] == '{' && strcmp(line + strlen(line) - 2, "}\n") == 0);
    CHECK(strstr(line, "\"time\":") && strstr(line, "\"message\":") && strstr(line, "\"level\":\"debug\""));
    lines += strstr(line, "\"call\":") != NULL;
  }
  CHECK(lines > 0);
  fclose(log);
  unlink(path);
}

static void *close_it(void *handle) {
  return (void *)(uintptr_t)sandport_backend_close(*(sandport_backend *)handle);
}

/* Eight threads close one backend: one of them does, the others are told. */
static void one_of_many_closes(const char *folder) {
  pthread_t threads[8];
  sandport_backend backend = open_without_engine(folder);
  int closed = 0, i;
  for (i = 0; i < 8; i++) {
    CHECK(pthread_create(&threads[i], NULL, close_it, &backend) == 0);
  }
  for (i = 0; i < 8; i++) {
    void *status = NULL;
    CHECK(pthread_join(threads[i], &status) == 0);
    closed += (uintptr_t)status == SANDPORT_OK;
  }
  CHECK(closed == 1);
}

/* Threads of this process, where the system tells. */
static int threads_now(void) {
#ifdef __linux__
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *entry;
  int count = 0;
  CHECK(tasks != NULL);
  while ((entry = readdir(tasks)) != NULL) {
    count += entry->d_name[0] != '.';
  }
  closedir(tasks);
  return count;
#else
  return 1;
#endif
}

static void no_thread_stays_while_nothing_runs(void) {
  int tries;
  for (tries = 0; threads_now() > 1; tries++) {
    struct timespec moment = {0, 5000000};
    CHECK(tries < 4000);
    nanosleep(&moment, NULL);
  }
}

int main(void) {
  char folder[] = "/tmp/sandport-rules-XXXXXX", forever[128], command[128];
  sandport_backend backend;
  sandport_call call = 0;
  int32_t status = 7;
  int server;
  size_t i;
  CHECK(mkdtemp(folder) != NULL);
  server = silent_server(forever, sizeof forever);
  numbers_have_words();
  for (i = 0; i < INVENTED; i++) {
    a_handle_that_is_not_open_is_refused(invented[i]);
  }
  backend = open_without_engine(folder);
  CHECK(backend < (uint64_t)1 << 53);
  wrong_requests_are_refused(backend);
  missing_addresses_are_refused(backend);
  an_operation_without_a_number_is_refused(backend);
  a_result_comes_once_by_wait(backend);
  a_waiting_call_can_be_looked_at_and_cancelled(backend, forever);
  a_queue_gives_every_result(backend, forever);
  a_closed_reader_does_not_end_the_host(backend);
  the_log_is_json_lines_of_mode_0600(backend, folder);
  one_of_many_closes(folder);
  a_blocking_call_outlives_its_backend(folder);

  /* A backend's end cancels what was started on it. */
  CHECK(sandport_call_start(backend, 0, SANDPORT_OP_WAIT_READY, forever, &call, NULL) == SANDPORT_OK);
  CHECK(sandport_backend_close(backend) == SANDPORT_OK);
  CHECK(sandport_call_wait(call, -1, &status, NULL) == SANDPORT_OK && status == SANDPORT_CANCELLED);
  a_handle_that_is_not_open_is_refused(backend);
  no_thread_stays_while_nothing_runs();
  close(server);
  snprintf(command, sizeof command, "rm -rf %s", folder);
  CHECK(system(command) == 0);
  return 0;
}
