/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of aesm.c: requests of programs that know Intel's aesmd, for emulated enclaves. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "quoting/aesm.h"
#include "quoting/aesm.pb-c.h"

#define REQUEST_MAX 65536u
#define KEY_IDS_MAX 10u
#define SPARE       64u

/* Of Intel's aesm_error.h */
enum {
    UNEXPECTED = 1,
    BAD_PARAMETER = 3,
    NOT_AVAILABLE = 30,
    NO_SUCH_KEY = 38,
    BAD_REPORT = 47,
    NO_REPORT_OF_QE = 49
};

/* Identifies the attestation key to who asks; there is one. */
static uint8_t g_public_key_id[32] = "Simulated";

/* What the answer's parts point to */
struct answer {
    Aesm__Response response;
    Aesm__InitResponse init;
    Aesm__SizeResponse size;
    Aesm__QuoteResponse quote;
    Aesm__SelectResponse select;
    Aesm__CountResponse count;
    Aesm__ListResponse list;
    Aesm__Unsupported unsupported;
    struct sgx_targetinfo target;
    struct buffer quoted;
    uint8_t key_id[AESM_KEY_ID_SIZE];
};

static bool is_ecdsa(const uint8_t id[AESM_KEY_ID_SIZE])
{
    uint32_t algorithm;

    memcpy(&algorithm, id + AESM_ALGORITHM_AT, sizeof(algorithm));
    return algorithm == AESM_ALGORITHM_ECDSA;
}

/* Without an ID it is aesmd that chooses. */
static uint32_t check_key(bool given, const ProtobufCBinaryData *id)
{
    if (!given || id->len == 0)
        return 0;
    if (id->len != AESM_KEY_ID_SIZE)
        return BAD_PARAMETER;
    return is_ecdsa(id->data) ? 0 : NO_SUCH_KEY;
}

static void answer_init(struct quoting *q, const Aesm__InitRequest *r, struct answer *a)
{
    a->init.error = check_key(r->has_key_id, &r->key_id);
    if (a->init.error == 0 && r->public_key_id && r->room < sizeof(g_public_key_id))
        a->init.error = BAD_PARAMETER;
    if (a->init.error == 0 && quoting_target_info(q, &a->target, NULL) < 0)
        a->init.error = UNEXPECTED;
    a->response.init = &a->init;
    if (a->init.error)
        return;
    a->init.has_target_info = a->init.has_public_key_id_size = 1;
    a->init.target_info = (ProtobufCBinaryData){sizeof(a->target), (uint8_t *)&a->target};
    a->init.public_key_id_size = sizeof(g_public_key_id);
    a->init.has_public_key_id = r->public_key_id;
    a->init.public_key_id = (ProtobufCBinaryData){sizeof(g_public_key_id), g_public_key_id};
}

/* Signatures in the certificates, which are made anew, may be a few bytes longer another time. */
static void answer_size(struct quoting *q, const Aesm__SizeRequest *r, struct answer *a)
{
    size_t size = 0;

    a->size.error = check_key(r->has_key_id, &r->key_id);
    if (a->size.error == 0 && quoting_quote_size(q, &size, NULL) < 0)
        a->size.error = UNEXPECTED;
    a->size.has_size = a->size.error == 0;
    a->size.size = (uint32_t)size + SPARE;
    a->response.size = &a->size;
}

static uint32_t quote(struct quoting *q, const Aesm__QuoteRequest *r, struct answer *a)
{
    struct sgx_report report;
    const uint32_t error = check_key(r->has_key_id, &r->key_id);

    if (error || r->report.len != sizeof(report))
        return error ? error : BAD_PARAMETER;
    if (r->has_report_info && r->report_info.len)
        return NO_REPORT_OF_QE;
    memcpy(&report, r->report.data, sizeof(report));
    const int rc = quoting_quote(q, &report, &a->quoted, NULL);
    if (rc < 0)
        return rc == -EPERM ? BAD_REPORT : UNEXPECTED;
    if (r->room < a->quoted.size || r->room > AESM_QUOTE_MAX)
        return BAD_PARAMETER;
    /* aesmd's answer fills the room, too. */
    const size_t rest = r->room - a->quoted.size;
    memset(buffer_reserve(&a->quoted, rest), 0, rest);
    a->quoted.size = r->room;
    return 0;
}

static void answer_quote(struct quoting *q, const Aesm__QuoteRequest *r, struct answer *a)
{
    a->quote.error = quote(q, r, a);
    a->quote.has_quote = a->quote.error == 0;
    a->quote.quote = (ProtobufCBinaryData){a->quoted.size, (uint8_t *)a->quoted.data};
    a->response.quote = &a->quote;
}

/* sgx_ql_att_key_id_list_t: id, version (16 bits each), count (32 bits), then the IDs. */
static uint32_t chosen(bool given, const ProtobufCBinaryData *list)
{
    enum { HEAD = 8, COUNT_AT = 4 };
    uint32_t count;

    if (!given || list->len == 0)
        return 0;
    if (list->len < HEAD)
        return BAD_PARAMETER;
    memcpy(&count, list->data + COUNT_AT, sizeof(count));
    if (count > KEY_IDS_MAX || list->len != HEAD + (size_t)count * AESM_KEY_ID_SIZE)
        return BAD_PARAMETER;
    for (unsigned i = 0; i < count; i++)
        if (is_ecdsa(list->data + HEAD + (size_t)i * AESM_KEY_ID_SIZE))
            return 0;
    return NO_SUCH_KEY;
}

static void answer_select(const Aesm__SelectRequest *r, struct answer *a)
{
    a->select.error = chosen(r->has_key_ids, &r->key_ids);
    a->select.has_key_id = a->select.error == 0;
    a->select.key_id = (ProtobufCBinaryData){sizeof(a->key_id), a->key_id};
    a->response.select = &a->select;
}

static void answer_list(const Aesm__ListRequest *r, struct answer *a)
{
    a->list.error = r->room < sizeof(a->key_id) ? BAD_PARAMETER : 0;
    a->list.has_key_ids = a->list.error == 0;
    a->list.key_ids = (ProtobufCBinaryData){sizeof(a->key_id), a->key_id};
    a->response.list = &a->list;
}

static void answer(struct quoting *q, const Aesm__Request *r, struct answer *a)
{
    aesm_key_id(a->key_id);
    if (r->init) {
        answer_init(q, r->init, a);
    } else if (r->size) {
        answer_size(q, r->size, a);
    } else if (r->quote) {
        answer_quote(q, r->quote, a);
    } else if (r->select) {
        answer_select(r->select, a);
    } else if (r->count) {
        a->count.has_count = a->count.count = 1;
        a->response.count = &a->count;
    } else if (r->list) {
        answer_list(r->list, a);
    } else {
        a->unsupported.error = NOT_AVAILABLE;
        a->response.unsupported = &a->unsupported;
    }
}

static int send_answer(int socket, const struct answer *a)
{
    const uint32_t size = (uint32_t)aesm__response__get_packed_size(&a->response);
    cleanup_free uint8_t *out = xmalloc(sizeof(size) + size);

    memcpy(out, &size, sizeof(size));
    aesm__response__pack(&a->response, out + sizeof(size));
    for (size_t done = 0; done < sizeof(size) + size;) {
        const ssize_t n = send(socket, out + done, sizeof(size) + size - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int serve_one(struct quoting *q, int socket)
{
    struct answer a = {
        AESM__RESPONSE__INIT,       AESM__INIT_RESPONSE__INIT,   AESM__SIZE_RESPONSE__INIT,
        AESM__QUOTE_RESPONSE__INIT, AESM__SELECT_RESPONSE__INIT, AESM__COUNT_RESPONSE__INIT,
        AESM__LIST_RESPONSE__INIT,  AESM__UNSUPPORTED__INIT,     .quoted = BUFFER_INIT};
    uint32_t size;

    if (read_exact(socket, &size, sizeof(size)) < 0 || size > REQUEST_MAX)
        return -EPROTO;
    cleanup_free uint8_t *text = xmalloc(size + 1);
    if (read_exact(socket, text, size) < 0)
        return -EPROTO;
    Aesm__Request *request = aesm__request__unpack(NULL, size, text);
    if (!request)
        return -EPROTO;
    answer(q, request, &a);
    aesm__request__free_unpacked(request, NULL);
    const int rc = send_answer(socket, &a);
    buffer_release(&a.quoted);
    return rc;
}

void quoting_stand_in(struct quoting *q, int socket)
{
    while (serve_one(q, socket) == 0)
        ;
}
