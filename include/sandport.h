/**
 * \file sandport.h
 * Sandbox containers for any program: JSON in and JSON out.
 *
 * Handles are numbers below 2^53. One that is closed, was never given out or stems from before a fork is
 * SANDPORT_INVALID_HANDLE, never undefined behaviour.
 *
 * Text is UTF-8. A request is borrowed for the time of the call; NULL means {}. It is one JSON object of at most
 * 1 MiB (32 MiB for sandport_request()) without a duplicate key, and an unknown field is refused by name. An answer
 * may gain fields: ignore those you do not know.
 *
 * *response_json receives one owned string on every path, the result object or {"error": {"code", "message",
 * "hint", "phase", "runtime", "retryable", "details"}}; sandport_string_free() releases it. Pass NULL to get the
 * status only. Every out-parameter is written on every path.
 *
 * Threads: every function may be called from any thread at any time. Nothing calls back, prints, changes a signal
 * handler or unwinds into the caller. The library stays loaded once it is.
 *
 * This file is generated from src/capi by cbindgen; change it there.
 */


#ifndef SANDPORT_H
#define SANDPORT_H

#include <stddef.h>
#include <stdint.h>


/**
 * It worked.
 */
#define SANDPORT_OK 0

/**
 * The request or the config is wrong in form or can never work.
 */
#define SANDPORT_INVALID_ARGUMENT 1

/**
 * The handle is closed, was never given out, or stems from before a fork.
 */
#define SANDPORT_INVALID_HANDLE 2

/**
 * There is no such sandbox.
 */
#define SANDPORT_NOT_FOUND 3

/**
 * No container engine can be reached; the hint says how to start one.
 */
#define SANDPORT_RUNTIME_UNAVAILABLE 4

/**
 * The engine answered with a failure, or with something that is no answer.
 */
#define SANDPORT_RUNTIME_FAILED 5

/**
 * The image is not here and cannot be pulled.
 */
#define SANDPORT_IMAGE_NOT_FOUND 6

/**
 * Every port of the range is taken.
 */
#define SANDPORT_PORT_EXHAUSTED 7

/**
 * The container name belongs to something that is not this sandbox.
 */
#define SANDPORT_NAME_CONFLICT 8

/**
 * The sandbox does not answer (yet), or the queue is empty.
 */
#define SANDPORT_NOT_READY 9

/**
 * The sandbox's container ended; details hold exit_code, oom_killed and log.
 */
#define SANDPORT_SANDBOX_EXITED 10

/**
 * A time limit was reached.
 */
#define SANDPORT_TIMEOUT 11

/**
 * The call was cancelled.
 */
#define SANDPORT_CANCELLED 12

/**
 * A rule forbids it.
 */
#define SANDPORT_DENIED 13

/**
 * A limit is used up.
 */
#define SANDPORT_QUOTA_EXCEEDED 14

/**
 * This runtime or this build cannot do it.
 */
#define SANDPORT_UNSUPPORTED 15

/**
 * A bug or a shortage of the library's own. The newest code: the next one is 17.
 */
#define SANDPORT_INTERNAL 16

/**
 * sandport_create() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_CREATE 1

/**
 * sandport_destroy() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_DESTROY 2

/**
 * sandport_discover() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_DISCOVER 3

/**
 * sandport_is_alive() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_IS_ALIVE 4

/**
 * sandport_list() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_LIST 5

/**
 * sandport_request() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_REQUEST 6

/**
 * sandport_release() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_RELEASE 7

/**
 * sandport_reap() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_REAP 8

/**
 * sandport_wait_ready() as an operation of sandport_call_start().
 */
#define SANDPORT_OP_WAIT_READY 9

/**
 * The ABI that this header describes; sandport_abi_version() tells that of the library.
 */
#define SANDPORT_ABI_VERSION 1

/**
 * A number that stands for a backend. 0 is never valid.
 */
typedef uint64_t sandport_backend;

/**
 * A number that stands for a queue of results. 0 is never valid.
 */
typedef uint64_t sandport_queue;

/**
 * A number that stands for a started call. 0 is never valid.
 */
typedef uint64_t sandport_call;

/**
 * A number that stands for a guest. 0 is never valid.
 */
typedef uint64_t sandport_guest;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the ABI, raised only by a break: compare it with SANDPORT_ABI_VERSION.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
uint32_t sandport_abi_version(void);

/**
 * The library's version, such as "0.1.0".
 *
 * \return A static string; do not release it.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
const char *sandport_version(void);

/**
 * The word of a status as it stands in JSON, such as "not_found".
 *
 * \return A static string, "unknown" for a number that is no status; do not release it.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
const char *sandport_status_name(int32_t status);

/**
 * Releases a string that a function of this library gave out.
 *
 * \param string From a response_json parameter, not yet released; NULL is fine.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
void sandport_string_free(char *string);

/**
 * Turns the library's log on or off, for the whole process. It is off at first.
 *
 * A line is one JSON object with time (Unix seconds), level, message, and where they are known call and phase. Values
 * of the environment and of headers are never in it. SANDPORT_LOG=debug with SANDPORT_LOG_FILE=PATH turn it on
 * without this call, when the first backend is opened.
 *
 * \param request_json  Borrowed UTF-8: {"level": "off" | "error" | "warn" | "info" | "debug", "path" or "fd"}. A path is
 *                      made with mode 0600 and appended to; an fd is duplicated and stays the caller's.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      On success {}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_set_log(const char *request_json,
                         char **response_json);

/**
 * Opens a backend: one configuration, which every call names.
 *
 * It does not fail because no engine runs: the first call then says SANDPORT_RUNTIME_UNAVAILABLE. It fails for a
 * configuration that can never work. Open backends after a fork, not before: a child's handles are invalid.
 *
 * \param config_json   Borrowed UTF-8, at most 1 MiB; NULL means {}, and every field is optional.
 * \param backend       Receives the handle, 0 on failure; close it with sandport_backend_close(). Must not be NULL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      On success {"runtime", "runtime_version", "endpoint", "features", "warnings", ...}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks for a few milliseconds, and up to call_timeout_seconds where an engine hangs. \since 0.1.0
 */
int32_t sandport_backend_open(const char *config_json,
                              sandport_backend *backend,
                              char **response_json);

/**
 * Closes a backend: cancels its started calls and waits for nothing.
 *
 * Blocking calls that run on other threads go on to their end. The sandboxes live on; what this backend used is in
 * use no longer once the last of its calls has ended.
 *
 * \param backend From sandport_backend_open(); invalid from now on.
 * \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_backend_close(sandport_backend backend);

/**
 * Makes a sandbox, or adopts the one that already bears its name, and waits until it answers.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"sandbox_id"?, "thread_id"?, "user_id"?, "image"?, "command"?,
 *                      "extra_mounts"?, "environment"?, "labels"?, "resources"?, "ready_timeout_seconds"?}.
 *                      Without sandbox_id it is derived from the thread, or random.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success SandboxInfo: {"sandbox_id", "sandbox_url", "created", "timings", ...}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks while the image is pulled and up to ready_timeout_seconds after that. \since 0.1.0
 */
int32_t sandport_create(sandport_backend backend,
                        const char *request_json,
                        char **response_json);

/**
 * Stops and removes a sandbox, whoever made it. One that is already gone is no error.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?, "stop_timeout_seconds"?} or {"sandbox":
 *                      SandboxInfo}.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"destroyed"}: false where there was none.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks up to the stop time and call_timeout_seconds. \since 0.1.0
 */
int32_t sandport_destroy(sandport_backend backend,
                         const char *request_json,
                         char **response_json);

/**
 * Asks the engine whether a sandbox runs. A check that fails is an error, never "dead".
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?} or {"sandbox": SandboxInfo}.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"alive"}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks up to 5 s or call_timeout_seconds, the smaller. \since 0.1.0
 */
int32_t sandport_is_alive(sandport_backend backend,
                          const char *request_json,
                          char **response_json);

/**
 * Finds a sandbox that any process started, by its id.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?} or {"sandbox": SandboxInfo}.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"sandbox": SandboxInfo or null}: null when the engine knows none that
 *                      answers.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks up to discover_timeout_seconds. \since 0.1.0
 */
int32_t sandport_discover(sandport_backend backend,
                          const char *request_json,
                          char **response_json);

/**
 * Lists the running sandboxes of this backend's container_prefix, with one question to the engine.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {} or NULL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"sandboxes": [SandboxInfo]}; what one summary does not tell is null.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks up to call_timeout_seconds. \since 0.1.0
 */
int32_t sandport_list(sandport_backend backend,
                      const char *request_json,
                      char **response_json);

/**
 * Sends an HTTP request to a sandbox, and to no other host.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"sandbox_id" or "sandbox", "method"?, "path", "headers"?, "body"? or
 *                      "body_base64"?, "timeout_seconds"?, "max_response_bytes"?}, at most 32 MiB.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"status", "headers": {name: [values]}, "body" or "body_base64"}, whatever
 *                      the HTTP status.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks up to timeout_seconds (60). \since 0.1.0
 */
int32_t sandport_request(sandport_backend backend,
                         const char *request_json,
                         char **response_json);

/**
 * Says that this backend no longer uses a sandbox. It lives on, until a reaper finds it idle.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?} or {"sandbox": SandboxInfo}.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"released"}: false where it was not in use.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks for a few milliseconds. \since 0.1.0
 */
int32_t sandport_release(sandport_backend backend,
                         const char *request_json,
                         char **response_json);

/**
 * Removes the sandboxes of this state directory that no process has used for a while.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"idle_seconds", "dry_run"?, "include_lost"?}.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"reaped": [...], "kept": [{"sandbox_id", "reason"}]}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks while they are removed, each at most a stop time and call_timeout_seconds. \since 0.1.0
 */
int32_t sandport_reap(sandport_backend backend,
                      const char *request_json,
                      char **response_json);

/**
 * Waits until a sandbox answers at its health path. Needs no engine.
 *
 * \param backend       From sandport_backend_open().
 * \param request_json  Borrowed UTF-8: {"sandbox_url", "timeout_seconds"}; the health path is added to the URL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"ready", "waited_seconds"}: time over is SANDPORT_OK with ready false.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks up to timeout_seconds. \since 0.1.0
 */
int32_t sandport_wait_ready(sandport_backend backend,
                            const char *request_json,
                            char **response_json);

/**
 * Takes the lowest free host port and keeps it from every other caller and process, until it is released or the
 * process ends.
 *
 * \param request_json  Borrowed UTF-8: {"start_port"?, "count"?, "bind_host"?, "state_dir"?}.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"port"}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks for a few milliseconds. \since 0.1.0
 */
int32_t sandport_allocate_port(const char *request_json,
                               char **response_json);

/**
 * Gives back a port of sandport_allocate_port().
 *
 * \param request_json  Borrowed UTF-8: {"port"}.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
 *                      NULL. On success {"released"}: false where it was not taken.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Blocks for a few milliseconds. \since 0.1.0
 */
int32_t sandport_release_port(const char *request_json,
                              char **response_json);

/**
 * Starts an operation and returns at once; the work runs on a thread of the library.
 *
 * The form of the request is checked here; whatever needs the engine or a file belongs to the call. At most 32 of
 * create, request, wait_ready and reap run at once, and 8 of the others beside them; more wait for their turn. The
 * result is delivered once: by sandport_queue_next(), or by sandport_call_wait() where queue is 0. Then the handle is
 * invalid. A result may come before this function has returned.
 *
 * \param backend       From sandport_backend_open().
 * \param queue         From sandport_queue_open(), or 0.
 * \param operation     A SANDPORT_OP_... number.
 * \param request_json  Borrowed UTF-8, as the blocking function of that name takes it.
 * \param call          Receives the handle, 0 on failure. Must not be NULL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      On success {}: the operation's own answer comes with its result.
 * \return SANDPORT_OK when it was started, or the reason, which also stands in the response.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_call_start(sandport_backend backend,
                            sandport_queue queue,
                            uint32_t operation,
                            const char *request_json,
                            sandport_call *call,
                            char **response_json);

/**
 * Waits for the result of a call that was started with queue 0.
 *
 * \param call          From sandport_call_start(); invalid once its result was delivered.
 * \param timeout_ms    Milliseconds; -1 waits for ever, 0 only looks.
 * \param status        Receives how the operation ended, -1 while it has not. May be NULL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      It is the operation's own answer when this function returns SANDPORT_OK.
 * \return SANDPORT_OK when the result was delivered; SANDPORT_TIMEOUT when the time is over, and the call goes on;
 *         SANDPORT_INVALID_ARGUMENT for a call of a queue; SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Blocks up to timeout_ms. \since 0.1.0
 */
int32_t sandport_call_wait(sandport_call call,
                           int64_t timeout_ms,
                           int32_t *status,
                           char **response_json);

/**
 * Asks a call to end. Sticky; harmless when it has ended.
 *
 * The call then ends as it would have, or as SANDPORT_CANCELLED, which promises that nothing it made remains. Its
 * result is delivered like any other.
 *
 * \param call From sandport_call_start(), its result not delivered yet.
 * \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_call_cancel(sandport_call call);

/**
 * Says how far a call is.
 *
 * \param call          From sandport_call_start(), its result not delivered yet.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      On success {"phase", "elapsed_seconds", "cancelling", "pull": {"layers_done", "layers_total",
 *                      "bytes_done", "bytes_total"} or null}.
 * \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_call_progress(sandport_call call,
                               char **response_json);

/**
 * Cancels a call and throws away its result.
 *
 * \param call From sandport_call_start(), its result not delivered yet; invalid from now on.
 * \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_call_close(sandport_call call);

/**
 * Opens a queue of results, and a descriptor that is readable when there may be one.
 *
 * Readable means: read until it would block, then call sandport_queue_next() until it says SANDPORT_NOT_READY.
 *
 * \param queue         Receives the handle, 0 on failure; close it with sandport_queue_close(). Must not be NULL.
 * \param fd            Receives the descriptor, -1 on failure: one end of a socket pair, non-blocking and
 *                      close-on-exec. It is the caller's to close, at any time. Must not be NULL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      On success {}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_queue_open(sandport_queue *queue,
                            int *fd,
                            char **response_json);

/**
 * Takes the next result.
 *
 * \param queue         From sandport_queue_open().
 * \param call          Receives the call's handle, which is invalid from now on; 0 when there is none. Must not be
 *                      NULL.
 * \param status        Receives how the operation ended, -1 when there is no result. May be NULL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      It is the operation's own answer when this function returns SANDPORT_OK.
 * \return SANDPORT_OK when a result was delivered; SANDPORT_NOT_READY when there is none; SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_queue_next(sandport_queue queue,
                            sandport_call *call,
                            int32_t *status,
                            char **response_json);

/**
 * Closes a queue: cancels its calls and throws away their results. The descriptor stays the caller's and reads as
 * ended.
 *
 * \param queue From sandport_queue_open(); invalid from now on.
 * \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_queue_close(sandport_queue queue);

/**
 * Opens a guest: a WebAssembly module that may do what its policy says, and nothing else.
 *
 * \param backend       From sandport_backend_open().
 * \param policy_json   Borrowed UTF-8; NULL opens a guest to which all is denied.
 * \param guest         Receives the handle, 0 on failure; close it with sandport_guest_close(). Must not be NULL.
 * \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
 *                      On success {"namespace", "operations"}.
 * \return SANDPORT_OK, or the reason, which also stands in the response.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_guest_open(sandport_backend backend,
                            const char *policy_json,
                            sandport_guest *guest,
                            char **response_json);

/**
 * Closes a guest: cancels its call, and destroys what it made unless its policy says keep.
 *
 * \param guest From sandport_guest_open(); invalid from now on.
 * \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
 *
 * Thread-safe. Blocks until no call holds the guest's memory and its sandboxes are gone. \since 0.1.0
 */
int32_t sandport_guest_close(sandport_guest guest);

/**
 * One call of a guest over its linear memory. Both ranges are checked before anything happens.
 *
 * \param guest      From sandport_guest_open().
 * \param operation  1 create, 2 destroy, 3 discover, 4 is_alive, 5 list, 6 request.
 * \param memory     The linear memory; held until the call returns.
 * \param memory_len Its bytes.
 * \param req        Where the request begins.
 * \param req_len    Its bytes.
 * \param out        Where the answer goes.
 * \param cap        How many bytes are free there.
 * \return The answer's length; it stands at `out` if it is at most `cap`, else fetch it by
 *         sandport_guest_response_memory(). Below 0: -1 the offsets lie outside the memory, -2 request too large,
 *         -4 unknown operation or guest, -5 internal, -6 the guest was closed, -7 it has a call already.
 *
 * Thread-safe. Blocks as long as the policy allows. \since 0.1.0
 */
int32_t sandport_guest_call_memory(sandport_guest guest,
                                   uint32_t operation,
                                   uint8_t *memory,
                                   uint64_t memory_len,
                                   uint64_t req,
                                   uint64_t req_len,
                                   uint64_t out,
                                   uint64_t cap);

/**
 * Fetches the answer that did not fit, over linear memory; it stays until the guest's next call.
 *
 * \param guest      From sandport_guest_open().
 * \param memory     The linear memory.
 * \param memory_len Its bytes.
 * \param out        Where the answer goes.
 * \param cap        How many bytes are free there.
 * \return As sandport_guest_call_memory(); -3 where no response waits.
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_guest_response_memory(sandport_guest guest,
                                       uint8_t *memory,
                                       uint64_t memory_len,
                                       uint64_t out,
                                       uint64_t cap);

/**
 * One call of a guest for hosts that copy by themselves.
 *
 * \param guest     From sandport_guest_open().
 * \param operation As sandport_guest_call_memory().
 * \param req       The request; NULL with req_len 0 means {}.
 * \param req_len   Its bytes.
 * \param out       Where the answer goes; may be NULL with cap 0.
 * \param cap       How many bytes are free there.
 * \return As sandport_guest_call_memory().
 *
 * Thread-safe. Blocks as long as the policy allows. \since 0.1.0
 */
int32_t sandport_guest_call(sandport_guest guest,
                            uint32_t operation,
                            const uint8_t *req,
                            size_t req_len,
                            uint8_t *out,
                            size_t cap);

/**
 * Fetches the answer that did not fit; it stays until the guest's next call.
 *
 * \param guest From sandport_guest_open().
 * \param out   Where the answer goes; may be NULL with cap 0.
 * \param cap   How many bytes are free there.
 * \return As sandport_guest_response_memory().
 *
 * Thread-safe. Does not block. \since 0.1.0
 */
int32_t sandport_guest_response(sandport_guest guest,
                                uint8_t *out,
                                size_t cap);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SANDPORT_H */
