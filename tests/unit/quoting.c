/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotes through aesmd, from a stand-in that speaks its protocol: as it should, and in each way
 * that it should not. What it is asked is checked as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/quote.h"
#include "attest/simulation.h"
#include "base/alloc.h"
#include "base/fd.h"
#include "quoting/aesm.pb-c.h"
#include "quoting/quoting.h"

enum manner {
    HONEST,
    REFUSES,       /* with an error of its own */
    KEY_LOST_ONCE, /* between size and quote */
    KEY_LOST,
    OLD, /* does not know these requests */
    SILENT,
    DRIPS, /* a byte now and then */
    CUT,   /* says a length, sends less */
    HUGE_LENGTH,
    NO_LENGTH,
    GARBAGE,
    NO_PART,
    SHORT_TARGET,
    BIG_SIZE,
    OTHER_REPORT,
    CUT_QUOTE,
    NO_QUOTE,
};

static struct {
    char directory[64];
    int listener, dir;
    pthread_t thread;
    enum manner manner;
    unsigned inits, quotes, bad_requests;
    struct buffer quote, other;
    struct sgx_report report;
} g;

/* ---- the stand-in ---- */

static void send_frame(int fd, const void *data, uint32_t size, uint32_t said)
{
    write_all(fd, &said, sizeof(said));
    write_all(fd, data, size);
}

static void check_key_id(const ProtobufCBinaryData *id)
{
    static const uint8_t start[] = {0, 0, 0, 0, 32, 0, 0x8c, 0x4f, 0x57, 0x75};
    bool good = id->len == 256 && memcmp(id->data, start, sizeof(start)) == 0 &&
                id->data[54] == 1 && id->data[154] == 2;

    g.bad_requests += !good;
}

static void fill_init(const Aesm__InitRequest *request, Aesm__InitResponse *out, uint8_t *target)
{
    check_key_id(&request->key_id);
    g.bad_requests += !request->public_key_id || !request->has_room || !request->has_timeout;
    g.inits++;
    memset(target, 7, 512);
    out->error = g.manner == REFUSES ? 44 : 0;
    out->has_target_info = 1;
    out->target_info = (ProtobufCBinaryData){g.manner == SHORT_TARGET ? 511 : 512, target};
}

static void fill_quote(const Aesm__QuoteRequest *request, Aesm__QuoteResponse *out)
{
    const struct buffer *quote = g.manner == OTHER_REPORT ? &g.other : &g.quote;

    check_key_id(&request->key_id);
    g.bad_requests += request->report.len != sizeof(g.report) ||
                      memcmp(request->report.data, &g.report, sizeof(g.report)) != 0;
    g.quotes++;
    if (g.manner == KEY_LOST || (g.manner == KEY_LOST_ONCE && g.quotes == 1))
        out->error = 42;
    out->has_quote = g.manner != NO_QUOTE;
    out->quote = (ProtobufCBinaryData){quote->size, (uint8_t *)quote->data};
    if (g.manner == CUT_QUOTE)
        out->quote.len = 1000;
}

static void answer(int fd, const Aesm__Request *request)
{
    uint8_t target[512], packed[16384];
    Aesm__Response r = AESM__RESPONSE__INIT;
    Aesm__InitResponse init = AESM__INIT_RESPONSE__INIT;
    Aesm__SizeResponse size = AESM__SIZE_RESPONSE__INIT;
    Aesm__QuoteResponse quote = AESM__QUOTE_RESPONSE__INIT;
    Aesm__Unsupported unsupported = AESM__UNSUPPORTED__INIT;

    if (g.manner == OLD) {
        unsupported.error = 1;
        r.unsupported = &unsupported;
    } else if (request->init) {
        fill_init(request->init, &init, target);
        r.init = &init;
    } else if (request->size) {
        size.has_size = 1;
        size.size = g.manner == BIG_SIZE ? 1 << 30 : (uint32_t)g.quote.size;
        size.error = g.manner == REFUSES ? 18 : 0;
        r.size = &size;
    } else if (request->quote) {
        fill_quote(request->quote, &quote);
        r.quote = &quote;
    }
    if (g.manner == NO_PART) { /* an answer to something else */
        r.init = NULL;
        r.size = NULL;
        r.quote = &quote;
    }
    uint32_t n = (uint32_t)aesm__response__pack(&r, packed);
    send_frame(fd, packed, g.manner == CUT ? n / 2 : n, g.manner == NO_LENGTH ? 0 : n);
}

static void misbehave_or_answer(int fd, const Aesm__Request *request)
{
    struct pollfd gone = {.fd = fd, .events = POLLRDHUP};

    switch (g.manner) {
    case SILENT:
        poll(&gone, 1, 20000);
        break;
    case DRIPS:
        for (int i = 0; i < 400 && poll(&gone, 1, 50) == 0; i++)
            /* A length of 256 bytes, and then those: all of it takes 13 s. */
            if (send(fd, i == 1 ? "\1" : "\0", 1, MSG_NOSIGNAL) < 0)
                break;
        break;
    case HUGE_LENGTH:
        send_frame(fd, "x", 1, 0xfffffff0u);
        break;
    case GARBAGE:
        send_frame(fd, "\xff\xff\xff\xff", 4, 4);
        break;
    default:
        answer(fd, request);
    }
}

static void serve(int fd)
{
    uint8_t text[8192];
    uint32_t size = 0;
    Aesm__Request *request = NULL;

    if (read_exact(fd, &size, sizeof(size)) == 0 && size <= sizeof(text) &&
        read_exact(fd, text, size) == 0)
        request = aesm__request__unpack(NULL, size, text);
    g.bad_requests += !request;
    if (request) {
        misbehave_or_answer(fd, request);
        aesm__request__free_unpacked(request, NULL);
    }
}

static void *stand_in(void *unused)
{
    for (;;) {
        int fd = accept(g.listener, NULL, NULL);

        if (fd < 0)
            return unused;
        serve(fd);
        close(fd);
    }
}

static int start(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)state;
    snprintf(g.directory, sizeof(g.directory), "/tmp/test-quoting.XXXXXX");
    assert_non_null(mkdtemp(g.directory));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/aesm.socket", g.directory);
    g.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(g.listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(g.listener, 4), 0);
    g.dir = open(g.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g.inits = g.quotes = g.bad_requests = 0;
    assert_int_equal(pthread_create(&g.thread, NULL, stand_in, NULL), 0);
    return 0;
}

static int stop(void **state)
{
    char path[128];

    (void)state;
    shutdown(g.listener, SHUT_RDWR);
    pthread_join(g.thread, NULL);
    close(g.listener);
    close(g.dir);
    snprintf(path, sizeof(path), "%s/aesm.socket", g.directory);
    unlink(path);
    rmdir(g.directory);
    return 0;
}

/* ---- what is asked of it ---- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct quoting *client(unsigned timeout_ms)
{
    const struct quoting_options options = {
        .directory = g.dir, .name = "aesm.socket", .timeout_ms = timeout_ms};
    return quoting_new(&options);
}

static void honest_service_is_asked_in_order(void **state)
{
    struct quoting *q = client(0);
    struct error err = ERROR_INIT;
    struct sgx_targetinfo target;
    struct buffer out = BUFFER_INIT;

    (void)state;
    g.manner = HONEST;
    assert_int_equal(quoting_target_info(q, &target, &err), 0);
    assert_int_equal(target.mrenclave[0], 7);
    assert_int_equal(quoting_quote(q, &g.report, &out, &err), 0);
    /* The service's answer was padded. */
    assert_int_equal(out.size + 100, g.quote.size);
    assert_memory_equal(out.data, g.quote.data, out.size);
    assert_int_equal(g.bad_requests, 0);
    buffer_release(&out);
    quoting_free(q);
}

static void lost_key_is_asked_for_again(void **state)
{
    struct quoting *q = client(0);
    struct error err = ERROR_INIT;
    struct buffer out = BUFFER_INIT;

    (void)state;
    g.manner = KEY_LOST_ONCE;
    assert_int_equal(quoting_quote(q, &g.report, &out, &err), 0);
    assert_int_equal(g.inits, 1);
    assert_int_equal(g.quotes, 2);
    buffer_release(&out);
    quoting_free(q);
}

static void each_fault_is_one_line_and_in_time(void **state)
{
    static const struct {
        enum manner manner;
        bool quote;
        int code;
        const char *part;
    } rows[] = {
        {REFUSES, false, -EIO, "no certificate of this platform"},
        {REFUSES, true, -EBUSY, "busy"},
        {KEY_LOST, true, -EIO, "no attestation key"},
        {OLD, false, -EPROTO, "too old"},
        {OLD, true, -EPROTO, "too old"},
        {SILENT, false, -ETIMEDOUT, "in time"},
        {SILENT, true, -ETIMEDOUT, "in time"},
        {DRIPS, true, -ETIMEDOUT, "in time"},
        {CUT, false, -EPROTO, "cut short"},
        {CUT, true, -EPROTO, "cut short"},
        {HUGE_LENGTH, true, -EPROTO, "impossible length"},
        {NO_LENGTH, true, -EPROTO, "impossible length"},
        {GARBAGE, true, -EPROTO, "not understood"},
        {NO_PART, false, -EPROTO, "has no target information"},
        {NO_PART, true, -EPROTO, "has no size"},
        {SHORT_TARGET, false, -EPROTO, "512 bytes"},
        {BIG_SIZE, true, -EPROTO, "1073741824 bytes"},
        {OTHER_REPORT, true, -EPROTO, "another report"},
        {CUT_QUOTE, true, -EPROTO, "not a quote"},
        {NO_QUOTE, true, -EPROTO, "has no quote"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool slow = rows[i].code == -ETIMEDOUT;
        struct quoting *q = client(slow ? 200 : 0);
        struct error err = ERROR_INIT;
        struct sgx_targetinfo target;
        struct buffer out = BUFFER_INIT;
        int64_t before = now_ms();

        g.manner = rows[i].manner;
        int rc = rows[i].quote ? quoting_quote(q, &g.report, &out, &err)
                               : quoting_target_info(q, &target, &err);
        if (rc != rows[i].code || !strstr(error_text(&err), rows[i].part))
            fail_msg("row %zu: %d \"%s\"", i, rc, error_text(&err));
        assert_null(strchr(error_text(&err), '\n'));
        /* The stand-in would wait for 20 s. */
        assert_true(!slow || now_ms() - before < 15000);
        error_release(&err);
        buffer_release(&out);
        quoting_free(q);
    }
}

/* ---- the product's own stand-in, asked by the product's own client ---- */

static void emulated_service(struct quoting *q, int listener)
{
    for (int i = 0; i < 3; i++) { /* target, size, quote */
        const int fd = accept(listener, NULL, NULL);
        quoting_stand_in(q, fd);
        close(fd);
    }
}

static void *emulated_service_thread(void *listener)
{
    const struct quoting_options options = {.simulation = quoting_simulation, .directory = -1};
    struct quoting *q = quoting_new(&options);

    emulated_service(q, *(int *)listener);
    quoting_free(q);
    return NULL;
}

static void the_stand_in_names_its_target_and_refuses_other_reports(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct quoting_options local = {.simulation = quoting_simulation, .directory = -1};
    const struct quoting_options options = {.directory = g.dir, .name = "emulated"};
    struct quoting *q = quoting_new(&options), *emulated = quoting_new(&local);
    struct sgx_targetinfo target, wanted;
    struct buffer out = BUFFER_INIT;
    struct error err = ERROR_INIT;
    pthread_t thread;

    (void)state;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/emulated", g.directory);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(pthread_create(&thread, NULL, emulated_service_thread, &listener), 0);
    assert_int_equal(quoting_target_info(q, &target, &err), 0);
    assert_int_equal(quoting_target_info(emulated, &wanted, &err), 0);
    assert_memory_equal(&target, &wanted, sizeof(target));
    assert_int_equal(quoting_quote(q, &g.report, &out, &err), -EIO);
    assert_non_null(strstr(error_text(&err), "takes the report for wrong"));
    pthread_join(thread, NULL);
    close(listener);
    unlink(address.sun_path);
    error_release(&err);
    buffer_release(&out);
    quoting_free(emulated);
    quoting_free(q);
}

static void absent_service_is_named(void **state)
{
    const struct quoting_options options[] = {
        {.directory = -1, .name = "aesm.socket"},
        {.directory = g.dir, .name = "none.socket"},
    };
    struct sgx_targetinfo target;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct quoting *q = quoting_new(&options[i]);
        struct error err = ERROR_INIT;

        assert_int_equal(quoting_target_info(q, &target, &err), -ENODEV);
        assert_non_null(strstr(error_text(&err), "no aesmd is running"));
        error_release(&err);
        quoting_free(q);
    }
}

static void service_with_a_full_queue_is_given_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int waiting[64], n = 0;
    char path[80];

    (void)state;
    /* Another listener, which nobody accepts from. */
    snprintf(path, sizeof(path), "%s/full", g.directory);
    memcpy(address.sun_path, path, strlen(path));
    int full = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(full, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(full, 0), 0);
    for (; n < 64; n++) {
        waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(waiting[n], (struct sockaddr *)&address, sizeof(address)) < 0)
            break;
    }
    assert_true(n < 64);
    const struct quoting_options options = {.directory = g.dir, .name = "full", .timeout_ms = 100};
    struct quoting *q = quoting_new(&options);
    struct error err = ERROR_INIT;
    struct sgx_targetinfo target;
    assert_int_equal(quoting_target_info(q, &target, &err), -ETIMEDOUT);
    error_release(&err);
    quoting_free(q);
    for (int i = 0; i <= n; i++)
        close(waiting[i]);
    close(full);
    unlink(path);
}

static void make_quotes(void)
{
    static const char padding[100];
    struct error err = ERROR_INIT;
    struct simulation *s = NULL;
    struct sgx_report_body other;

    assert_int_equal(simulation_open(&s, &err), 0);
    memset(&g.report, 3, sizeof(g.report));
    other = g.report.body;
    other.report_data[63] ^= 1;
    assert_int_equal(simulation_sign(s, 3, QUOTE_BODY_SGX, &g.report.body, &g.quote, &err), 0);
    assert_int_equal(simulation_sign(s, 3, QUOTE_BODY_SGX, &other, &g.other, &err), 0);
    buffer_append(&g.quote, padding, sizeof(padding));
    simulation_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(honest_service_is_asked_in_order, start, stop),
        cmocka_unit_test_setup_teardown(lost_key_is_asked_for_again, start, stop),
        cmocka_unit_test_setup_teardown(each_fault_is_one_line_and_in_time, start, stop),
        cmocka_unit_test_setup_teardown(the_stand_in_names_its_target_and_refuses_other_reports,
                                        start, stop),
        cmocka_unit_test_setup_teardown(absent_service_is_named, start, stop),
        cmocka_unit_test_setup_teardown(service_with_a_full_queue_is_given_up, start, stop),
    };

    signal(SIGPIPE, SIG_IGN); /* clients go early */
    make_quotes();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_release(&g.quote);
    buffer_release(&g.other);
    return failed;
}
