/*
 * Runs the cases that all bindings share (bindings/conformance) from C, over cJSON: each step through
 * sandport_call_start, so that a cancellation can come from another thread.
 */
#include <cjson/cJSON.h>
#include <pthread.h>
#include <sandport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *case_name = "";
static int failures;

static void fail(const char *what, const cJSON *seen) {
    char *text = seen != NULL ? cJSON_PrintUnformatted(seen) : NULL;
    fprintf(stderr, "%s: %s: %s\n", case_name, what, text != NULL ? text : "");
    free(text);
    failures++;
}

static void pause_ms(double ms) {
    struct timespec time = {(time_t)(ms / 1000), (long)(ms * 1e6) % 1000000000L};
    nanosleep(&time, NULL);
}

/* Takes an owned answer. */
static cJSON *taken(char *response) {
    cJSON *answer = response != NULL ? cJSON_Parse(response) : NULL;
    sandport_string_free(response);
    return answer;
}

/* A copy of a value with {id} and {saved} filled in. */
static cJSON *filled(const cJSON *value, const cJSON *saved) {
    if (cJSON_IsString(value)) {
        const char *text = value->valuestring;
        const char *id = cJSON_GetObjectItemCaseSensitive(saved, "id")->valuestring;
        size_t length = strlen(text);
        const char *at = strstr(text, "{id}");
        if (at != NULL) {
            char whole[512];
            snprintf(whole, sizeof whole, "%.*s%s%s", (int)(at - text), text, id, at + 4);
            return cJSON_CreateString(whole);
        }
        if (length > 2 && text[0] == '{' && text[length - 1] == '}') {
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)(length - 2), text + 1);
            const cJSON *found = cJSON_GetObjectItemCaseSensitive(saved, name);
            if (found != NULL)
                return cJSON_Duplicate(found, 1);
        }
        return cJSON_Duplicate(value, 1);
    }
    if (cJSON_IsObject(value) || cJSON_IsArray(value)) {
        cJSON *whole = cJSON_IsObject(value) ? cJSON_CreateObject() : cJSON_CreateArray();
        const cJSON *each;
        cJSON_ArrayForEach(each, value) {
            if (cJSON_IsObject(value))
                cJSON_AddItemToObject(whole, each->string, filled(each, saved));
            else
                cJSON_AddItemToArray(whole, filled(each, saved));
        }
        return whole;
    }
    return cJSON_Duplicate(value, 1);
}

/* Whether an answer holds at least what is expected. */
static int holds(const cJSON *answer, const cJSON *expected) {
    const cJSON *each;
    if (!cJSON_IsObject(expected))
        return cJSON_Compare(answer, expected, 1);
    cJSON_ArrayForEach(each, expected) {
        const cJSON *found = cJSON_GetObjectItemCaseSensitive(answer, each->string);
        if (found == NULL || !holds(found, each))
            return 0;
    }
    return 1;
}

static uint32_t operation_of(const char *call) {
    static const char *names[] = {"",     "create",  "destroy", "discover", "is_alive",
                                  "list", "request", "release", "reap",     "wait_ready"};
    for (uint32_t number = 1; number < sizeof names / sizeof *names; number++)
        if (strcmp(names[number], call) == 0)
            return number;
    return 0;
}

struct canceller {
    sandport_call call;
    double after_ms;
};

static void *cancel_later(void *argument) {
    struct canceller *canceller = argument;
    pause_ms(canceller->after_ms);
    sandport_call_cancel(canceller->call);
    return NULL;
}

/* Runs one operation; NULL cancel: not cancelled. The answer, {"error": {...}} among them. */
static cJSON *run(sandport_backend backend, const char *call, const cJSON *request, const cJSON *cancel, int *reports) {
    char *text = cJSON_PrintUnformatted(request);
    char *response = NULL;
    sandport_call handle = 0;
    int32_t status = sandport_call_start(backend, 0, operation_of(call), text, &handle, &response);
    free(text);
    if (status != SANDPORT_OK)
        return taken(response);
    sandport_string_free(response);
    response = NULL;
    struct canceller canceller = {handle, cancel != NULL ? cancel->valuedouble : 0};
    pthread_t thread;
    if (cancel != NULL && pthread_create(&thread, NULL, cancel_later, &canceller) != 0)
        exit(2);
    while (sandport_call_wait(handle, 20, &status, &response) == SANDPORT_TIMEOUT) {
        char *progress = NULL;
        sandport_string_free(response);
        response = NULL;
        sandport_call_progress(handle, &progress);
        cJSON *report = taken(progress);
        if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(report, "phase")))
            (*reports)++;
        cJSON_Delete(report);
    }
    if (cancel != NULL)
        pthread_join(thread, NULL);
    return taken(response);
}

static void run_step(sandport_backend *backend, const cJSON *step, cJSON *saved) {
    const char *call = cJSON_GetObjectItemCaseSensitive(step, "call")->valuestring;
    if (strcmp(call, "close") == 0) {
        sandport_backend_close(*backend);
        return;
    }
    const cJSON *cancel = cJSON_GetObjectItemCaseSensitive(step, "cancel_after_ms");
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(step, "error");
    const cJSON *save = cJSON_GetObjectItemCaseSensitive(step, "save");
    int reports = 0;
    cJSON *request = filled(cJSON_GetObjectItemCaseSensitive(step, "input"), saved);
    cJSON *answer = run(*backend, call, request, cancel, &reports);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(answer, "error");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(error, "code");
    if (cancel != NULL) {
        if (error != NULL && strcmp(code->valuestring, "cancelled") != 0)
            fail("neither done nor cancelled", answer);
    } else if (wanted != NULL) {
        if (error == NULL || strcmp(code->valuestring, wanted->valuestring) != 0)
            fail("another outcome than its error", answer);
    } else {
        cJSON *expected = filled(cJSON_GetObjectItemCaseSensitive(step, "expect"), saved);
        if (error != NULL || !holds(answer, expected))
            fail("not what is expected", answer);
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(step, "progress")) && reports == 0)
            fail("no progress was reported", answer);
        cJSON_Delete(expected);
    }
    if (save != NULL)
        cJSON_AddItemToObject(saved, save->valuestring, cJSON_Duplicate(answer, 1));
    cJSON_Delete(answer);
    cJSON_Delete(request);
}

/* Destroys what is left, and says so when something of the case stays. */
static void clear(sandport_backend backend) {
    int reports = 0;
    cJSON *nothing = cJSON_CreateObject();
    for (int round = 0; round < 2; round++) {
        cJSON *listed = run(backend, "list", nothing, NULL, &reports);
        const cJSON *one, *all = cJSON_GetObjectItemCaseSensitive(listed, "sandboxes");
        if (all == NULL || (round == 1 && cJSON_GetArraySize(all) != 0))
            fail("something is left", listed);
        cJSON_ArrayForEach(one, all) {
            cJSON *request = cJSON_CreateObject();
            cJSON_AddItemToObject(request, "sandbox", cJSON_Duplicate(one, 1));
            cJSON_Delete(run(backend, "destroy", request, NULL, &reports));
            cJSON_Delete(request);
        }
        cJSON_Delete(listed);
    }
    cJSON_Delete(nothing);
}

static void run_case(const cJSON *one, int number) {
    char text[96];
    sandport_backend backend = 0;
    char *response = NULL;
    const cJSON *each;
    cJSON *config = cJSON_CreateObject(), *saved = cJSON_CreateObject();
    case_name = cJSON_GetObjectItemCaseSensitive(one, "name")->valuestring;
    snprintf(text, sizeof text, "c%dn%d", (int)getpid(), number);
    cJSON_AddStringToObject(config, "container_prefix", text);
    cJSON_AddStringToObject(config, "image", "sandport-test:latest");
    cJSON_AddNumberToObject(config, "base_port", 31500 + number * 8);
    cJSON_AddNumberToObject(config, "stop_timeout_seconds", 1);
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(one, "config"))
        cJSON_AddItemToObject(config, each->string, cJSON_Duplicate(each, 1));
    snprintf(text, sizeof text, "case%d", number);
    cJSON_AddStringToObject(saved, "id", text);
    char *opened = cJSON_PrintUnformatted(config);
    if (sandport_backend_open(opened, &backend, &response) != SANDPORT_OK) {
        fail("it does not open", NULL);
        fprintf(stderr, "%s\n", response);
    } else {
        cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(one, "steps")) run_step(&backend, each, saved);
        if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "no_list")))
            clear(backend);
        sandport_backend_close(backend);
    }
    free(opened);
    sandport_string_free(response);
    cJSON_Delete(config);
    cJSON_Delete(saved);
}

int main(int count, char **files) {
    int number = 0;
    for (int file = 1; file < count; file++) {
        FILE *stream = fopen(files[file], "rb");
        static char text[1 << 20];
        size_t length = stream != NULL ? fread(text, 1, sizeof text - 1, stream) : 0;
        if (stream != NULL)
            fclose(stream);
        text[length] = 0;
        cJSON *cases = cJSON_Parse(text);
        const cJSON *one;
        if (!cJSON_IsArray(cases)) {
            fprintf(stderr, "%s holds no cases\n", files[file]);
            return 2;
        }
        cJSON_ArrayForEach(one, cases) run_case(one, number++);
        cJSON_Delete(cases);
    }
    printf("%d cases: %s\n", number, failures == 0 ? "all pass" : "some failed");
    return failures != 0 || number == 0;
}
