/* SPDX-License-Identifier: Apache-2.0 */
#include "quoting/aesm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "quoting/aesm.pb-c.h"

#define ANSWER_MAX    65536u
#define KEY_NOT_READY 42 /* the service has lost its attestation key: ask for the target again */

/* Which attestation key: sgx_att_key_id_t of ECDSA P-256 in Intel's quoting enclave. */
struct key_id {
    uint16_t id, version, mrsigner_length;
    uint8_t mrsigner[48];
    uint32_t prod_id;
    uint8_t extended_prod_id[16], config_id[64], family_id[16];
    uint32_t algorithm;
} __attribute__((packed));

void aesm_key_id(uint8_t out[AESM_KEY_ID_SIZE])
{
    const struct key_id id = {
        .mrsigner_length = 32,
        .mrsigner = {0x8c, 0x4f, 0x57, 0x75, 0xd7, 0x96, 0x50, 0x3e, 0x96, 0x13, 0x7f,
                     0x77, 0xc6, 0x8a, 0x82, 0x9a, 0x00, 0x56, 0xac, 0x8d, 0xed, 0x70,
                     0x14, 0x0b, 0x08, 0x1b, 0x09, 0x44, 0x90, 0xc5, 0x7b, 0xff},
        .prod_id = 1,
        .algorithm = AESM_ALGORITHM_ECDSA,
    };

    _Static_assert(sizeof(id) == 158, "sgx_ql_att_key_id_t");
    _Static_assert(offsetof(struct key_id, algorithm) == AESM_ALGORITHM_AT, "aesm.h");
    memset(out, 0, AESM_KEY_ID_SIZE);
    memcpy(out, &id, sizeof(id));
}

static const char *reason(uint32_t error)
{
    static const struct {
        uint32_t error;
        const char *text;
    } reasons[] = {
        {2, "it has no SGX device"},
        {3, "it takes the request for wrong"},
        {12, "it cannot reach its network service (PCCS): look at /etc/sgx_default_qcnl.conf"},
        {18, "it is busy"},
        {30, "its quoting service is not available: install libsgx-aesm-quote-ex-plugin"},
        {38, "it has no such attestation key"},
        {KEY_NOT_READY, "it has no attestation key"},
        {44, "there is no certificate of this platform: register it with the PCCS"},
        {47, "it takes the report for wrong"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].error == error)
            return reasons[i].text;
    return "see Intel's aesm_error.h";
}

/* ---- one request and its answer, by a deadline ---- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;

        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int connect_by_path(int socket, int directory, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory,
                     name);

    if (n < 0 || (size_t)n >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    return connect(socket, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/* A UNIX socket whose queue is full answers EAGAIN, and poll does not tell when there is room. */
static int connect_until(const struct quoting_options *o, int socket, int64_t deadline)
{
    const struct timespec pause = {.tv_nsec = 20000000};

    for (;;) {
        int rc = (o->connect ? o->connect : connect_by_path)(socket, o->directory, o->name);

        if (rc != -EAGAIN)
            return rc;
        if (now_ms() >= deadline)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
}

static int send_until(int fd, const uint8_t *data, size_t size, int64_t deadline)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            data += n;
            size -= (size_t)n;
            continue;
        }
        int rc = errno == EAGAIN ? wait_for(fd, POLLOUT, deadline) : -errno;
        if (rc < 0 && rc != -EINTR)
            return rc;
    }
    return 0;
}

static int receive_until(int fd, uint8_t *data, size_t size, int64_t deadline)
{
    while (size > 0) {
        ssize_t n = recv(fd, data, size, MSG_DONTWAIT);

        if (n == 0)
            return -ENODATA;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
            continue;
        }
        int rc = errno == EAGAIN ? wait_for(fd, POLLIN, deadline) : -errno;
        if (rc < 0 && rc != -EINTR)
            return rc;
    }
    return 0;
}

/* Each with its length before it, in the machine's order. */
static int exchange(int fd, const Aesm__Request *request, int64_t deadline, struct buffer *answer)
{
    uint32_t size = (uint32_t)aesm__request__get_packed_size(request);
    cleanup_free uint8_t *out = xmalloc(sizeof(size) + size);

    memcpy(out, &size, sizeof(size));
    aesm__request__pack(request, out + sizeof(size));
    int rc = send_until(fd, out, sizeof(size) + size, deadline);
    if (rc == 0)
        rc = receive_until(fd, (uint8_t *)&size, sizeof(size), deadline);
    if (rc < 0)
        return rc;
    if (size == 0 || size > ANSWER_MAX)
        return -EPROTO;
    rc = receive_until(fd, (uint8_t *)buffer_reserve(answer, size), size, deadline);
    answer->size = rc == 0 ? size : 0;
    return rc;
}

static int explain(int rc, struct error *err)
{
    switch (rc) {
    case -ENOENT:
    case -ECONNREFUSED:
    case -EBADF:
        return error_code(err, ENODEV,
                          "no aesmd is running (" QUOTING_AESM_DIRECTORY "/" QUOTING_AESM_SOCKET
                          "): quotes need sgx-aesm-service with its plugins for ECDSA");
    case -ETIMEDOUT:
        return error_code(err, ETIMEDOUT, "aesmd did not answer in time");
    case -ENODATA:
        return error_code(err, EPROTO, "aesmd's answer is cut short");
    case -EPROTO:
        return error_code(err, EPROTO, "aesmd's answer has an impossible length");
    default:
        return error_errno(err, -rc, "talk to aesmd");
    }
}

static Aesm__Response *ask(const struct quoting_options *o, const Aesm__Request *request,
                           int64_t deadline, struct error *err)
{
    cleanup_buffer struct buffer answer = BUFFER_INIT;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = fd < 0 ? -errno : 0;

    if (rc == 0)
        rc = o->directory < 0 ? -ENOENT : connect_until(o, fd, deadline);
    if (rc == 0)
        rc = exchange(fd, request, deadline, &answer);
    if (rc < 0) {
        explain(rc, err);
        return NULL;
    }
    Aesm__Response *response = aesm__response__unpack(NULL, answer.size,
                                                      (const uint8_t *)answer.data);
    if (!response) {
        error_code(err, EPROTO, "aesmd's answer is not understood");
    } else if (response->unsupported) {
        error_code(err, EPROTO,
                   "aesmd is too old for ECDSA quotes (error %u): version 2.17 or later is needed",
                   response->unsupported->error);
        aesm__response__free_unpacked(response, NULL);
        response = NULL;
    }
    return response;
}

static int refused(const char *what, uint32_t error, struct error *err)
{
    return error_code(err, error == 18 ? EBUSY : EIO, "aesmd refuses to %s (error %u): %s", what,
                      error, reason(error));
}

static int no_part(const char *what, struct error *err)
{
    return error_code(err, EPROTO, "aesmd's answer has no %s", what);
}

static int code_of(const struct error *err)
{
    return err->code > 0 ? -err->code : -EIO;
}

/* ---- the three requests ---- */

static uint32_t microseconds(int64_t deadline)
{
    int64_t left = deadline - now_ms();
    return left > 0 ? (uint32_t)left * 1000 : 1;
}

static int init(const struct quoting_options *o, int64_t deadline, struct sgx_targetinfo *out,
                struct error *err)
{
    uint8_t key_id[AESM_KEY_ID_SIZE];
    Aesm__InitRequest part = AESM__INIT_REQUEST__INIT;
    Aesm__Request request = AESM__REQUEST__INIT;

    aesm_key_id(key_id);
    part.has_key_id = part.has_room = part.has_timeout = 1;
    part.key_id = (ProtobufCBinaryData){sizeof(key_id), key_id};
    part.public_key_id = 1;
    part.room = 32;
    part.timeout = microseconds(deadline);
    request.init = &part;
    Aesm__Response *r = ask(o, &request, deadline, err);
    if (!r)
        return code_of(err);
    int rc = 0;
    if (!r->init)
        rc = no_part("target information", err);
    else if (r->init->error)
        rc = refused("name its quoting enclave", r->init->error, err);
    else if (!r->init->has_target_info || r->init->target_info.len != sizeof(*out))
        rc = no_part("target information of 512 bytes", err);
    else
        memcpy(out, r->init->target_info.data, sizeof(*out));
    aesm__response__free_unpacked(r, NULL);
    return rc;
}

static int get_size(const struct quoting_options *o, int64_t deadline, uint32_t *size,
                    uint32_t *refusal, struct error *err)
{
    uint8_t key_id[AESM_KEY_ID_SIZE];
    Aesm__SizeRequest part = AESM__SIZE_REQUEST__INIT;
    Aesm__Request request = AESM__REQUEST__INIT;

    aesm_key_id(key_id);
    part.has_key_id = part.has_timeout = 1;
    part.key_id = (ProtobufCBinaryData){sizeof(key_id), key_id};
    part.timeout = microseconds(deadline);
    request.size = &part;
    Aesm__Response *r = ask(o, &request, deadline, err);
    if (!r)
        return code_of(err);
    int rc = 0;
    if (!r->size)
        rc = no_part("size of the quote", err);
    else if ((*refusal = r->size->error))
        rc = refused("size the quote", r->size->error, err);
    else if (!r->size->has_size || r->size->size == 0 || r->size->size > AESM_QUOTE_MAX)
        rc = error_code(err, EPROTO, "aesmd says that a quote has %u bytes", r->size->size);
    else
        *size = r->size->size;
    aesm__response__free_unpacked(r, NULL);
    return rc;
}

static int get_quote(const struct quoting_options *o, const struct sgx_report *report,
                     uint32_t size, int64_t deadline, struct buffer *out, uint32_t *refusal,
                     struct error *err)
{
    uint8_t key_id[AESM_KEY_ID_SIZE];
    Aesm__QuoteRequest part = AESM__QUOTE_REQUEST__INIT;
    Aesm__Request request = AESM__REQUEST__INIT;

    aesm_key_id(key_id);
    part.has_key_id = part.has_timeout = 1;
    part.key_id = (ProtobufCBinaryData){sizeof(key_id), key_id};
    part.report = (ProtobufCBinaryData){sizeof(*report), (uint8_t *)report};
    part.room = size;
    part.timeout = microseconds(deadline);
    request.quote = &part;
    Aesm__Response *r = ask(o, &request, deadline, err);
    if (!r)
        return code_of(err);
    int rc = 0;
    if (!r->quote)
        rc = no_part("quote", err);
    else if ((*refusal = r->quote->error))
        rc = refused("quote the report", r->quote->error, err);
    else if (!r->quote->has_quote || r->quote->quote.len > size)
        rc = no_part("quote of the size that it said", err);
    else
        buffer_append(out, r->quote->quote.data, r->quote->quote.len);
    aesm__response__free_unpacked(r, NULL);
    return rc;
}

static int64_t deadline_of(const struct quoting_options *o)
{
    return now_ms() + (o->timeout_ms ? o->timeout_ms : QUOTING_TIMEOUT_MS);
}

int aesm_target_info(const struct quoting_options *o, struct sgx_targetinfo *out, struct error *err)
{
    return init(o, deadline_of(o), out, err);
}

/* Once more from the start when the service lost its key between the two: it was restarted. */
int aesm_quote(const struct quoting_options *o, const struct sgx_report *report, struct buffer *out,
               struct error *err)
{
    const int64_t deadline = deadline_of(o);
    struct sgx_targetinfo target;

    for (int attempt = 0;; attempt++) {
        uint32_t size = 0, refusal = 0;
        int rc = get_size(o, deadline, &size, &refusal, err);

        if (rc == 0)
            rc = get_quote(o, report, size, deadline, out, &refusal, err);
        if (rc == 0 || refusal != KEY_NOT_READY || attempt > 0)
            return rc;
        error_release(err);
        rc = init(o, deadline, &target, err);
        if (rc < 0)
            return rc;
    }
}
