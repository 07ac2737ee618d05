/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc: client against server, and a server against peers that break the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "ttrpc/ttrpc.h"
#include "ttrpc/ttrpc.pb-c.h"

enum { LATE_MAX = 100 };

static struct {
    struct loop loop;
    struct ttrpc_server *server;
    struct ttrpc_call *late[LATE_MAX];
    size_t late_count, cancelled;
} g_test;

static void on_echo(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *request)
{
    ttrpc_reply(call, request);
}

static void on_fail(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *request)
{
    ttrpc_fail(call, TTRPC_NOT_FOUND, "no %s here", ((const Ttrpc__KeyValue *)request)->key);
}

static void cancelled(struct ttrpc_call *call, void *ctx)
{
    g_test.cancelled++;
    ttrpc_fail(call, TTRPC_CANCELLED, "nobody reads this");
}

/* Answered by the test, or cancelled. */
static void on_late(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *request)
{
    g_test.late[g_test.late_count++] = call;
    ttrpc_call_on_cancel(call, cancelled, NULL);
}

static void on_huge(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *request)
{
    Ttrpc__Any any = TTRPC__ANY__INIT;
    cleanup_free uint8_t *bytes = xcalloc(1, TTRPC_MESSAGE_MAX + 1);
    any.value = (ProtobufCBinaryData){TTRPC_MESSAGE_MAX + 1, bytes};
    ttrpc_reply(call, &any.base);
}

static const char *const names[] = {"test.One", "test.Two", NULL};
static const struct ttrpc_method methods[] = {
    {"Echo", &ttrpc__key_value__descriptor, on_echo},
    {"Fail", &ttrpc__key_value__descriptor, on_fail},
    {"Late", &ttrpc__key_value__descriptor, on_late},
    {"Huge", &ttrpc__key_value__descriptor, on_huge},
};
static const struct ttrpc_service service = {names, methods, array_count(methods)};

static int set_up(void **state)
{
    struct error err = ERROR_INIT;
    g_test.late_count = g_test.cancelled = 0;
    return loop_init(&g_test.loop, &err) < 0 ||
           ttrpc_server_new(&g_test.loop, -1, &service, NULL, NULL, &g_test.server, &err) < 0;
}

static int tear_down(void **state)
{
    ttrpc_server_free(g_test.server);
    loop_release(&g_test.loop);
    return 0;
}

/* Our end of a connection to the server. */
static int connect_raw(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(ttrpc_server_adopt(g_test.server, pair[0], NULL), 0);
    return pair[1];
}

static struct ttrpc_client *connect_client(void (*closed)(void *ctx), void *ctx)
{
    struct ttrpc_client *client;
    assert_int_equal(ttrpc_client_new(&g_test.loop, connect_raw(), closed, ctx, &client, NULL), 0);
    return client;
}

struct answer {
    bool here;
    enum ttrpc_code code;
    char message[200], value[64];
};

static void done(void *ctx, enum ttrpc_code code, const char *message, const uint8_t *payload,
                 size_t size)
{
    struct answer *answer = ctx;
    assert_false(answer->here);
    answer->here = true;
    answer->code = code;
    snprintf(answer->message, sizeof(answer->message), "%s", message);
    Ttrpc__KeyValue *value = code == TTRPC_OK ? ttrpc__key_value__unpack(NULL, size, payload)
                                              : NULL;
    if (value) {
        snprintf(answer->value, sizeof(answer->value), "%s", value->value);
        ttrpc__key_value__free_unpacked(value, NULL);
    }
}

static void call(struct ttrpc_client *client, const char *name, const char *method,
                 uint64_t timeout, struct answer *answer)
{
    Ttrpc__KeyValue request = TTRPC__KEY_VALUE__INIT;
    request.key = (char *)"key";
    request.value = (char *)"value";
    *answer = (struct answer){.here = false};
    ttrpc_client_call(client, name, method, &request.base, NULL, timeout, done, answer);
}

static void wait_for(const bool *here)
{
    uint64_t limit = loop_now() + 20000;
    while (!*here && loop_now() < limit)
        assert_int_equal(loop_step(&g_test.loop, 100, NULL), 0);
    assert_true(*here);
}

static void answers_and_errors(void **state)
{
    static const struct {
        const char *service, *method;
        enum ttrpc_code code;
        const char *text;
    } cases[] = {
        {"test.One", "Echo", TTRPC_OK, ""},
        {"test.Two", "Echo", TTRPC_OK, ""},
        {"test.One", "Fail", TTRPC_NOT_FOUND, "no key here"},
        {"test.Three", "Echo", TTRPC_UNIMPLEMENTED, "service test.Three"},
        {"test.One", "Nothing", TTRPC_UNIMPLEMENTED, "method Nothing"},
        {"test.One", "Huge", TTRPC_RESOURCE_EXHAUSTED, NULL},
    };
    struct ttrpc_client *client = connect_client(NULL, NULL);
    for (size_t i = 0; i < array_count(cases); i++) {
        struct answer answer;
        call(client, cases[i].service, cases[i].method, 0, &answer);
        wait_for(&answer.here);
        assert_int_equal(answer.code, cases[i].code);
        if (cases[i].text)
            assert_string_equal(answer.message, cases[i].text);
        assert_string_equal(answer.value, answer.code == TTRPC_OK ? "value" : "");
    }
    ttrpc_client_free(client);
}

/* A hundred at once, answered from the last to the first. */
static void many_in_flight(void **state)
{
    struct answer answers[LATE_MAX];
    struct ttrpc_client *client = connect_client(NULL, NULL);
    for (size_t i = 0; i < LATE_MAX; i++)
        call(client, "test.One", "Late", 0, &answers[i]);
    while (g_test.late_count < LATE_MAX)
        assert_int_equal(loop_step(&g_test.loop, 1000, NULL), 0);
    for (size_t i = LATE_MAX; i-- > 0;) {
        Ttrpc__KeyValue response = TTRPC__KEY_VALUE__INIT;
        char text[16];
        snprintf(text, sizeof(text), "%zu", i);
        response.value = text;
        ttrpc_reply(g_test.late[i], &response.base);
    }
    for (size_t i = 0; i < LATE_MAX; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%zu", i);
        wait_for(&answers[i].here);
        assert_string_equal(answers[i].value, text);
    }
    assert_int_equal(g_test.cancelled, 0);
    ttrpc_client_free(client);
}

static void deadline(void **state)
{
    struct answer answer;
    int fd = connect_raw();
    Ttrpc__Request request = TTRPC__REQUEST__INIT;
    request.service = (char *)"test.One";
    request.method = (char *)"Late";
    request.timeout_nano = 20 * 1000000;
    size_t size;
    cleanup_free uint8_t *bytes = ttrpc_pack(&request.base, &size);
    struct ttrpc_header header = {(uint32_t)size, 1, TTRPC_REQUEST, 0};
    uint8_t head[TTRPC_HEADER_SIZE];
    ttrpc_header_encode(&header, head);
    assert_int_equal(write_all(fd, head, sizeof(head)), 0);
    assert_int_equal(write_all(fd, bytes, size), 0);
    while (g_test.cancelled == 0)
        assert_int_equal(loop_step(&g_test.loop, 1000, NULL), 0);
    assert_int_equal(read_exact(fd, head, sizeof(head)), 0);
    ttrpc_header_decode(head, &header);
    assert_int_equal(header.stream, 1);
    assert_int_equal(header.type, TTRPC_RESPONSE);
    uint8_t body[256];
    assert_true(header.length < sizeof(body));
    assert_int_equal(read_exact(fd, body, header.length), 0);
    Ttrpc__Response *response = ttrpc__response__unpack(NULL, header.length, body);
    assert_int_equal(response->status->code, TTRPC_DEADLINE_EXCEEDED);
    ttrpc__response__free_unpacked(response, NULL);
    close(fd);

    /* And the client's own. */
    struct ttrpc_client *client = connect_client(NULL, NULL);
    call(client, "test.One", "Late", 20, &answer);
    wait_for(&answer.here);
    assert_int_equal(answer.code, TTRPC_DEADLINE_EXCEEDED);
    ttrpc_client_free(client);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void lost_connections(void **state)
{
    struct answer answer;
    bool gone = false;
    struct ttrpc_client *client = connect_client(set_flag, &gone);
    call(client, "test.One", "Late", 0, &answer);
    while (g_test.late_count < 1)
        assert_int_equal(loop_step(&g_test.loop, 1000, NULL), 0);
    ttrpc_client_free(client); /* its callbacks are not called any more */
    while (g_test.cancelled == 0)
        assert_int_equal(loop_step(&g_test.loop, 1000, NULL), 0);
    assert_false(answer.here);

    client = connect_client(set_flag, &gone);
    call(client, "test.One", "Late", 0, &answer);
    while (g_test.late_count < 2)
        assert_int_equal(loop_step(&g_test.loop, 1000, NULL), 0);
    ttrpc_server_free(g_test.server);
    assert_int_equal(ttrpc_server_new(&g_test.loop, -1, &service, NULL, NULL, &g_test.server, NULL),
                     0);
    wait_for(&gone);
    assert_int_equal(answer.code, TTRPC_UNAVAILABLE);
    assert_int_equal(g_test.cancelled, 2);
    ttrpc_client_free(client);
}

/* Send a frame; the code of the answer. */
static int refusal(int fd, struct ttrpc_header header, const void *body, size_t size)
{
    uint8_t head[TTRPC_HEADER_SIZE], answer[512];
    ttrpc_header_encode(&header, head);
    assert_int_equal(write_all(fd, head, sizeof(head)), 0);
    for (size_t sent = 0; sent < size; sent += 4096) { /* the peer is this thread, too */
        size_t part = size - sent < 4096 ? size - sent : 4096;
        assert_int_equal(write_all(fd, (const char *)body + sent, part), 0);
        assert_int_equal(loop_step(&g_test.loop, 0, NULL), 0);
    }
    for (int i = 0; i < 10; i++)
        assert_int_equal(loop_step(&g_test.loop, 0, NULL), 0);
    assert_int_equal(read_exact(fd, head, sizeof(head)), 0);
    ttrpc_header_decode(head, &header);
    assert_true(header.length < sizeof(answer));
    assert_int_equal(read_exact(fd, answer, header.length), 0);
    Ttrpc__Response *response = ttrpc__response__unpack(NULL, header.length, answer);
    int code = response->status->code;
    ttrpc__response__free_unpacked(response, NULL);
    return code;
}

static void broken_frames(void **state)
{
    const size_t large = TTRPC_MESSAGE_MAX + 100;
    cleanup_free char *bytes = xcalloc(1, large);
    int fd = connect_raw();
    Ttrpc__Request request = TTRPC__REQUEST__INIT;
    request.service = (char *)"test.One";
    request.method = (char *)"Echo";
    size_t size;
    cleanup_free uint8_t *good = ttrpc_pack(&request.base, &size);
    uint32_t length = (uint32_t)size;

    assert_int_equal(refusal(fd, (struct ttrpc_header){length, 2, TTRPC_REQUEST, 0}, good, size),
                     TTRPC_INVALID_ARGUMENT);
    assert_int_equal(refusal(fd, (struct ttrpc_header){length, 1, TTRPC_DATA, 0}, good, size),
                     TTRPC_INVALID_ARGUMENT);
    assert_int_equal(refusal(fd, (struct ttrpc_header){length, 1, 77, 0}, good, size),
                     TTRPC_INVALID_ARGUMENT);
    memset(bytes, 0xff, 100);
    assert_int_equal(refusal(fd, (struct ttrpc_header){100, 3, TTRPC_REQUEST, 0}, bytes, 100),
                     TTRPC_INVALID_ARGUMENT);
    assert_int_equal(
        refusal(fd, (struct ttrpc_header){(uint32_t)large, 5, TTRPC_REQUEST, 0}, bytes, large),
        TTRPC_RESOURCE_EXHAUSTED);
    request.payload = (ProtobufCBinaryData){100,
                                            (uint8_t *)bytes}; /* the method's message is none */
    size_t bad_size;
    cleanup_free uint8_t *bad = ttrpc_pack(&request.base, &bad_size);
    assert_int_equal(
        refusal(fd, (struct ttrpc_header){(uint32_t)bad_size, 7, TTRPC_REQUEST, 0}, bad, bad_size),
        TTRPC_INVALID_ARGUMENT);
    /* After all that the connection still serves. */
    assert_int_equal(refusal(fd, (struct ttrpc_header){length, 9, TTRPC_REQUEST, 0}, good, size),
                     TTRPC_OK);
    close(fd);
}

static void stream_in_use(void **state)
{
    Ttrpc__Request request = TTRPC__REQUEST__INIT;
    request.service = (char *)"test.One";
    request.method = (char *)"Late";
    size_t size;
    cleanup_free uint8_t *bytes = ttrpc_pack(&request.base, &size);
    struct ttrpc_header header = {(uint32_t)size, 11, TTRPC_REQUEST, 0};
    uint8_t head[TTRPC_HEADER_SIZE];
    int fd = connect_raw();
    ttrpc_header_encode(&header, head);
    assert_int_equal(write_all(fd, head, sizeof(head)), 0);
    assert_int_equal(write_all(fd, bytes, size), 0);
    assert_int_equal(refusal(fd, header, bytes, size), TTRPC_INVALID_ARGUMENT);
    assert_int_equal(g_test.late_count, 1);
    close(fd);
}

/* A client that asks and never reads: it is not read any more, and others are served. */
static void client_that_never_reads(void **state)
{
    Ttrpc__Request request = TTRPC__REQUEST__INIT;
    Ttrpc__KeyValue big = TTRPC__KEY_VALUE__INIT;
    cleanup_free char *text = xcalloc(1, 60001);
    memset(text, 'x', 60000);
    big.value = text;
    size_t payload_size, size;
    cleanup_free uint8_t *payload = ttrpc_pack(&big.base, &payload_size);
    request.service = (char *)"test.One";
    request.method = (char *)"Echo";
    request.payload = (ProtobufCBinaryData){payload_size, payload};
    cleanup_free uint8_t *bytes = ttrpc_pack(&request.base, &size);
    int fd = connect_raw();
    fd_set_nonblock(fd, true);
    size_t taken = 0;
    for (uint32_t stream = 1; stream < 2000; stream += 2) {
        struct ttrpc_header header = {(uint32_t)size, stream, TTRPC_REQUEST, 0};
        uint8_t head[TTRPC_HEADER_SIZE];
        ttrpc_header_encode(&header, head);
        if (send(fd, head, sizeof(head), MSG_NOSIGNAL) < 0 ||
            send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
            break; /* the server's queue is full, for it does not read */
        taken += size;
        for (int i = 0; i < 8; i++)
            assert_int_equal(loop_step(&g_test.loop, 0, NULL), 0);
    }
    assert_true(taken < 8u << 20);
    struct answer answer;
    struct ttrpc_client *client = connect_client(NULL, NULL);
    call(client, "test.One", "Echo", 0, &answer);
    wait_for(&answer.here);
    assert_int_equal(answer.code, TTRPC_OK);
    ttrpc_client_free(client);
    close(fd);
}

static void timers_fire_in_order(void **state)
{
    struct loop_timer first = {0}, second = {0};
    loop_timer_set(&g_test.loop, &second, 50);
    loop_timer_set(&g_test.loop, &first, 10);
    assert_ptr_equal(g_test.loop.timers, &first);
    loop_timer_set(&g_test.loop, &first, 100);
    assert_ptr_equal(g_test.loop.timers, &second);
    loop_timer_cancel(&g_test.loop, &second);
    loop_timer_cancel(&g_test.loop, &second);
    assert_ptr_equal(g_test.loop.timers, &first);
    loop_timer_cancel(&g_test.loop, &first);
    assert_null(g_test.loop.timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_and_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_in_flight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stream_in_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(client_that_never_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timers_fire_in_order, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
