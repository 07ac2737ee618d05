/* SPDX-License-Identifier: Apache-2.0 */
#include "rune/tsm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/number.h"

enum { EVIDENCE_MAX = 64 << 10, ATTRIBUTE_MAX = 128 };

/* Where report data is; a quote's and a report's first bytes are their versions. */
enum {
    SNP_REPORT_SIZE = 1184,
    SNP_KEY_AT = 0x48, /* bits 2 to 4: which key signed, 1 for the VLEK */
    SNP_DATA_AT = 0x50,
    TDX_DATA_AT = 48 + 520,
    TDX_V5_DATA_AT = TDX_DATA_AT + 6,
};

/* ---- the entry ---- */

/* An attribute's text without its newline. */
static int read_attribute(int entry, const char *name, struct buffer *out, struct error *err)
{
    int ret = read_file_at(entry, name, out, ATTRIBUTE_MAX, err);
    while (ret == 0 && out->size > 0 && buffer_text(out)[out->size - 1] == '\n')
        out->size--;
    if (ret == 0)
        buffer_reserve(out, 1)[0] = '\0';
    return ret;
}

static int read_count(int entry, const char *name, uint64_t *out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int ret = read_attribute(entry, name, &text, err);
    if (ret == 0 && number_parse(buffer_text(&text), text.size, UINT64_MAX, out) < 0)
        ret = error_set(err, "%s is \"%s\", not a number", name, buffer_text(&text));
    return ret;
}

static int read_kind(int entry, enum tsm_kind *out, struct error *err)
{
    static const char *const names[] = {[TSM_TDX] = "tdx_guest", [TSM_SNP] = "sev_guest"};
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_attribute(entry, "provider", &text, err) < 0)
        return -1;
    for (size_t i = 0; i < array_count(names); i++) {
        if (strcmp(buffer_text(&text), names[i]) == 0) {
            *out = (enum tsm_kind)i;
            return 0;
        }
    }
    return error_set(err, "provider \"%s\" is none that verify-quote knows: tdx_guest or sev_guest",
                     buffer_text(&text));
}

static int set_level(int entry, enum tsm_kind kind, int level, struct error *err)
{
    char text[16];
    uint64_t floor;
    if (kind != TSM_SNP)
        return error_set(err, "only SEV-SNP has privilege levels, and this is a TD");
    if (read_count(entry, "privlevel_floor", &floor, err) < 0)
        return -1;
    if ((uint64_t)level < floor)
        return error_set(err,
                         "privilege level %d is not this kernel's: it has %llu and higher ones",
                         level, (unsigned long long)floor);
    snprintf(text, sizeof(text), "%d", level);
    return write_file_at(entry, "privlevel", text, strlen(text), err);
}

static const char *read_hint(int code)
{
    switch (-code) {
    case EBUSY:
    case EINTR:
        return " (try again)";
    case ETIMEDOUT:
    case EIO:
        return " (does the host's quoting service run, and know this platform?)";
    case ENXIO:
        return " (the kernel's module has gone)";
    default:
        return "";
    }
}

static int ask(int entry, const uint8_t data[TSM_DATA_SIZE], int level, struct tsm_evidence *out,
               struct error *err)
{
    uint64_t before, after;
    if (read_kind(entry, &out->kind, err) < 0 || read_count(entry, "generation", &before, err) < 0)
        return -1;
    if (level != TSM_LEVEL_NONE && set_level(entry, out->kind, level, err) < 0)
        return -1;
    cleanup_close int input = openat(entry, "inblob", O_WRONLY | O_CLOEXEC);
    int ret = input < 0 ? -errno : write_all(input, data, TSM_DATA_SIZE);
    if (ret < 0)
        return error_errno(err, -ret, "write inblob");
    close_and_reset(&input); /* only now the kernel has it */
    ret = read_file_at(entry, "outblob", &out->evidence, EVIDENCE_MAX, err);
    if (ret < 0)
        return error_wrap(err, "the kernel gives no evidence%s", read_hint(ret));
    if (out->kind == TSM_SNP && faccessat(entry, "auxblob", F_OK, 0) == 0) {
        ret = read_file_at(entry, "auxblob", &out->certificates, EVIDENCE_MAX, err);
        if (ret < 0)
            return ret;
    }
    if (read_count(entry, "generation", &after, err) < 0)
        return -1;
    if (after != before + 1 + (level != TSM_LEVEL_NONE))
        return error_set(err, "another program wrote to the entry");
    return 0;
}

/* ---- what came ---- */

static unsigned number16(const struct buffer *b, size_t at)
{
    const uint8_t *p = (const uint8_t *)b->data + at;
    return p[0] | (unsigned)p[1] << 8;
}

static uint32_t number32(const struct buffer *b, size_t at)
{
    return number16(b, at) | (uint32_t)number16(b, at + 2) << 16;
}

/* Evidence of something else than was asked for would be told by the verifier alone, far away. */
static int check(const struct tsm_evidence *e, const uint8_t data[TSM_DATA_SIZE], struct error *err)
{
    const struct buffer *b = &e->evidence;
    size_t at = SNP_DATA_AT;
    if (e->kind == TSM_SNP && b->size != SNP_REPORT_SIZE)
        return error_set(err, "an SEV-SNP report has %d bytes, and the kernel gave %zu",
                         SNP_REPORT_SIZE, b->size);
    if (e->kind == TSM_TDX) {
        const unsigned version = b->size >= 8 ? number16(b, 0) : 0;
        if ((version != 4 && version != 5) || number32(b, 4) != 0x81)
            return error_set(err, "what the kernel gave is no quote of a TD (version 4 or 5)");
        at = version == 4 ? TDX_DATA_AT : TDX_V5_DATA_AT;
    }
    if (b->size < at + TSM_DATA_SIZE || memcmp(b->data + at, data, TSM_DATA_SIZE) != 0)
        return error_set(err, "what the kernel gave is over other report data");
    return 0;
}

int tsm_get(const char *directory, const uint8_t data[TSM_DATA_SIZE], int level,
            struct tsm_evidence *out, struct error *err)
{
    cleanup_close int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno,
                           "%s (is this a virtual machine of TDX or SEV-SNP, with Linux 6.7 or "
                           "later and configfs mounted?)",
                           directory);
    cleanup_free char *name = xasprintf("rune-%d", getpid());
    if (mkdirat(dir, name, 0700) < 0)
        return error_errno(err, errno, "%s/%s%s", directory, name,
                           errno == ENXIO ? " (load the module tdx_guest or sev_guest)" : "");
    cleanup_close int entry = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int ret = entry < 0 ? error_errno(err, errno, "open it") : ask(entry, data, level, out, err);
    if (ret == 0)
        ret = check(out, data, err);
    if (ret < 0)
        error_wrap(err, "%s/%s", directory, name);
    (void)unlinkat(dir, name, AT_REMOVEDIR); /* what stays holds nothing */
    return ret;
}

/* ---- certificates ---- */

/* Rows of the table; the GUIDs of the GHCB specification, in the order of their texts. */
enum { ROW_SIZE = 24, GUID_SIZE = 16 };
enum certificate { VCEK, VLEK, ASK, ARK, CRL };
static const uint8_t g_guids[][GUID_SIZE] = {
    [VCEK] = {0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8,
              0xac, 0xcd},
    [VLEK] = {0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0,
              0xb8, 0xa1},
    [ASK] = {0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27,
             0xc7, 0x82},
    [ARK] = {0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c,
             0xd0, 0xae},
    [CRL] = {0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc,
             0x67, 0xea},
};

struct part {
    const uint8_t *data;
    size_t size;
};

static int read_table(const struct buffer *table, struct part parts[array_count(g_guids)],
                      struct error *err)
{
    static const uint8_t end[GUID_SIZE];
    for (size_t at = 0; at + ROW_SIZE <= table->size; at += ROW_SIZE) {
        const char *guid = table->data + at;
        const size_t offset = number32(table, at + GUID_SIZE);
        const size_t size = number32(table, at + GUID_SIZE + 4);
        if (memcmp(guid, end, GUID_SIZE) == 0)
            return 0;
        if (offset > table->size || size > table->size - offset)
            return error_set(err, "certificate table of the host: row %zu leads out of it",
                             at / ROW_SIZE);
        for (size_t i = 0; i < array_count(g_guids); i++)
            if (memcmp(guid, g_guids[i], GUID_SIZE) == 0)
                parts[i] = (struct part){(const uint8_t *)table->data + offset, size};
    }
    return table->size == 0 ? 0 : error_set(err, "certificate table of the host: it has no end");
}

static void append_pem(struct buffer *out, const struct part *part)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char begin[] = "-----BEGIN CERTIFICATE-----\n";
    if (part->size >= sizeof(begin) - 2 && memcmp(part->data, begin, sizeof(begin) - 2) == 0) {
        buffer_append(out, part->data, part->size); /* some hosts have PEM in the table */
        if (part->data[part->size - 1] != '\n')
            buffer_append_char(out, '\n');
        return;
    }
    buffer_append_text(out, begin);
    for (size_t i = 0; i < part->size; i += 3) {
        const size_t n = part->size - i < 3 ? part->size - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < n ? part->data[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            buffer_append_char(out, k <= n ? digits[group >> (18 - 6 * k) & 63] : '=');
        if (i % 48 == 45 || i + 3 >= part->size)
            buffer_append_char(out, '\n');
    }
    buffer_append_text(out, "-----END CERTIFICATE-----\n");
}

int tsm_certificates(const struct tsm_evidence *evidence, struct buffer *chain, struct buffer *crl,
                     struct error *err)
{
    struct part parts[array_count(g_guids)] = {0};
    const bool vlek = (number32(&evidence->evidence, SNP_KEY_AT) >> 2 & 7) == 1;
    int ret = read_table(&evidence->certificates, parts, err);
    if (ret < 0 || !parts[vlek ? VLEK : VCEK].size)
        return ret;
    append_pem(chain, &parts[vlek ? VLEK : VCEK]);
    for (size_t i = ASK; i <= ARK; i++)
        if (parts[i].size)
            append_pem(chain, &parts[i]);
    if (parts[CRL].size)
        buffer_append(crl, parts[CRL].data, parts[CRL].size);
    return 0;
}
