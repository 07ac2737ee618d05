/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of file as a JSON object, in the order in which people read it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <openssl/sha.h>

#include "../../abi/manifest.h"
#include "../../abi/sgx_emulated.h"
#include "attest/quote.h"
#include "attest/snp.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "enclave/predict.h"
#include "inspect.h"
#include "sgx/enclave_file.h"
#include "sgx/loader.h"
#include "sgx/sigstruct.h"

enum { SMALL_MAX = 8 << 20, TEXT_MAX = 4 << 20 };

/* Pages of an enclave that is measured here: far above any real one. */
#define ADDED_MAX    (64ull << 30)
#define MEASURED_MAX (256ull << 20)

/* Bytes of a file; page aligned, as enclave files need it. */
struct contents {
    int fd;
    const uint8_t *data;
    size_t size;
};

/* ---- members ---- */

static void put_hex(json_t *to, const char *key, const void *data, size_t size)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;

    buffer_append_hex(&text, data, size);
    json_object_set_new(to, key, json_string(buffer_text(&text)));
}

static void put_number(json_t *to, const char *key, uint64_t value)
{
    json_object_set_new(to, key, json_integer((json_int_t)value));
}

static void put_bits(json_t *to, const char *key, uint64_t value)
{
    cleanup_free char *text = xasprintf("%016llx", (unsigned long long)value);
    json_object_set_new(to, key, json_string(text));
}

static void put_text(json_t *to, const char *key, const char *text)
{
    json_object_set_new(to, key, json_string(text));
}

/* A text of strangers, which may be no UTF-8. */
static json_t *any_text(const char *text)
{
    json_t *out = json_string(text);
    cleanup_buffer struct buffer plain = BUFFER_INIT;

    for (; !out && *text; text++) {
        if (*text & 0x80)
            buffer_append_format(&plain, "\\x%02x", (unsigned char)*text);
        else
            buffer_append_char(&plain, *text);
    }
    return out ? out : json_string(buffer_text(&plain));
}

struct name {
    uint64_t bit;
    const char *text;
};

static const struct name g_attributes[] = {
    {SGX_ATTR_INIT, "INIT"},
    {SGX_ATTR_DEBUG, "DEBUG"},
    {SGX_ATTR_MODE64, "MODE64BIT"},
    {SGX_ATTR_PROVISION_KEY, "PROVISIONKEY"},
    {SGX_ATTR_EINIT_KEY, "EINITTOKEN"},
    {SGX_ATTR_CET, "CET"},
    {SGX_ATTR_KSS, "KSS"},
    {SGX_ATTR_AEX_NOTIFY, "AEXNOTIFY"},
};

/* The bits, and a list of what they are called. */
static void put_flags(json_t *to, const char *key, uint64_t value, const struct name *names,
                      size_t count)
{
    cleanup_free char *list_key = xasprintf("%sNames", key);
    json_t *list = json_array();

    put_bits(to, key, value);
    for (size_t i = 0; i < count; i++)
        if (value & names[i].bit)
            json_array_append_new(list, json_string(names[i].text));
    json_object_set_new(to, list_key, list);
}

static void put_attributes(json_t *to, const char *key, uint64_t value)
{
    put_flags(to, key, value, g_attributes, array_count(g_attributes));
}

static json_t *begin(const char *kind)
{
    json_t *out = json_object();
    put_text(out, "kind", kind);
    return out;
}

/* ---- reports ---- */

static void put_report(json_t *out, const struct sgx_report_body *b)
{
    json_object_set_new(out, "emulated", json_boolean(sgx_cpusvn_is_emulated(b->cpu_svn)));
    put_hex(out, "mrenclave", b->mrenclave, sizeof(b->mrenclave));
    put_hex(out, "mrsigner", b->mrsigner, sizeof(b->mrsigner));
    put_number(out, "isvProdId", b->isv_prod_id);
    put_number(out, "isvSvn", b->isv_svn);
    put_hex(out, "cpuSvn", b->cpu_svn, sizeof(b->cpu_svn));
    put_attributes(out, "attributes", b->attributes.flags);
    put_bits(out, "xfrm", b->attributes.xfrm);
    put_bits(out, "miscselect", b->miscselect);
    put_hex(out, "configId", b->config_id, sizeof(b->config_id));
    put_number(out, "configSvn", b->config_svn);
    put_hex(out, "isvFamilyId", b->isv_family_id, sizeof(b->isv_family_id));
    put_hex(out, "isvExtProdId", b->isv_ext_prod_id, sizeof(b->isv_ext_prod_id));
    put_hex(out, "reportData", b->report_data, sizeof(b->report_data));
}

/* Fields that no report has set tell one from any other file of its size. */
static bool is_report(const struct contents *c)
{
    struct sgx_report_body b;
    static const uint8_t zero[sizeof(b.reserved4)];

    if (c->size != sizeof(struct sgx_report) && c->size != sizeof(b))
        return false;
    memcpy(&b, c->data, sizeof(b));
    return memcmp(b.reserved1, zero, sizeof(b.reserved1)) == 0 &&
           memcmp(b.reserved2, zero, sizeof(b.reserved2)) == 0 &&
           memcmp(b.reserved3, zero, sizeof(b.reserved3)) == 0 &&
           memcmp(b.reserved4, zero, sizeof(b.reserved4)) == 0 &&
           (b.attributes.flags & SGX_ATTR_INIT);
}

static json_t *show_report(const struct contents *c, struct error *err)
{
    struct sgx_report report = {0};
    json_t *out = begin("report");

    (void)err;
    memcpy(&report, c->data, c->size);
    put_report(out, &report.body);
    if (c->size == sizeof(report)) {
        put_hex(out, "keyId", report.key_id, sizeof(report.key_id));
        put_hex(out, "mac", report.mac, sizeof(report.mac));
    }
    put_text(out, "note", "the MAC is not checked: a report proves nothing by itself");
    return out;
}

/* ---- quotes ---- */

static bool is_quote(const struct contents *c)
{
    /* version 3 to 5, attestation key type ECDSA P-256 */
    return c->size >= QUOTE_HEADER_SIZE && c->data[0] >= 3 && c->data[0] <= 5 && c->data[1] == 0 &&
           c->data[2] == 2 && c->data[3] == 0;
}

static void put_td(json_t *out, const struct td_report *td, bool is_15)
{
    static const char *const rtmr[] = {"rtmr0", "rtmr1", "rtmr2", "rtmr3"};

    put_hex(out, "teeTcbSvn", td->tee_tcb_svn, sizeof(td->tee_tcb_svn));
    put_hex(out, "mrseam", td->mrseam, sizeof(td->mrseam));
    put_hex(out, "mrsignerSeam", td->mrsigner_seam, sizeof(td->mrsigner_seam));
    put_hex(out, "tdAttributes", td->attributes, sizeof(td->attributes));
    json_object_set_new(out, "debug", json_boolean(td->attributes[0] & 1));
    put_hex(out, "xfam", td->xfam, sizeof(td->xfam));
    put_hex(out, "mrtd", td->mrtd, sizeof(td->mrtd));
    put_hex(out, "mrconfigid", td->mrconfigid, sizeof(td->mrconfigid));
    put_hex(out, "mrowner", td->mrowner, sizeof(td->mrowner));
    put_hex(out, "mrownerconfig", td->mrownerconfig, sizeof(td->mrownerconfig));
    for (size_t i = 0; i < array_count(rtmr); i++)
        put_hex(out, rtmr[i], td->rtmr[i], sizeof(td->rtmr[i]));
    put_hex(out, "reportData", td->report_data, sizeof(td->report_data));
    if (is_15) {
        put_hex(out, "teeTcbSvn2", td->tee_tcb_svn2, sizeof(td->tee_tcb_svn2));
        put_hex(out, "mrservicetd", td->mrservicetd, sizeof(td->mrservicetd));
    }
}

static json_t *show_quote(const struct contents *c, struct error *err)
{
    static const char *const certifications[] = {
        [CERTIFICATION_PPID] = "PPID",
        [CERTIFICATION_PPID_RSA2048] = "PPID, encrypted by RSA-2048",
        [CERTIFICATION_PPID_RSA3072] = "PPID, encrypted by RSA-3072",
        [CERTIFICATION_PCK_LEAF] = "PCK certificate",
        [CERTIFICATION_PCK_CHAIN] = "PCK certificate chain",
        [CERTIFICATION_QE_REPORT] = "QE report",
        [CERTIFICATION_MANIFEST] = "platform manifest"};
    struct quote quote;

    if (quote_parse((struct span){c->data, c->size}, &quote, err) < 0)
        return NULL;
    json_t *out = begin("quote");
    put_number(out, "version", quote.version);
    put_text(out, "tee", quote_is_td(&quote) ? "TDX" : "SGX");
    put_number(out, "size", quote.size);
    if (quote_is_td(&quote))
        put_td(out, &quote.td, quote.body_type == QUOTE_BODY_TD15);
    else
        put_report(out, &quote.report);
    json_t *qe = json_object();
    put_report(qe, &quote.qe_report);
    json_object_set_new(out, "quotingEnclave", qe);
    put_text(out, "certification",
             quote.certification_type < array_count(certifications) &&
                     certifications[quote.certification_type]
                 ? certifications[quote.certification_type]
                 : "unknown");
    put_text(out, "note", "no signature is checked: sgx-tools verify-quote does that");
    return out;
}

static bool is_snp(const struct contents *c)
{
    return snp_is_report((struct span){c->data, c->size});
}

/* AMD publication 56860, table "ATTESTATION_REPORT structure" */
static json_t *show_snp(const struct contents *c, struct error *err)
{
    static const struct {
        const char *name;
        unsigned at, size;
    } fields[] = {
        {"guestSvn", 0x04, 4},     {"policy", 0x08, 8},       {"familyId", 0x10, 16},
        {"imageId", 0x20, 16},     {"vmpl", 0x30, 4},         {"currentTcb", 0x38, 8},
        {"platformInfo", 0x40, 8}, {"reportData", 0x50, 64},  {"measurement", 0x90, 48},
        {"hostData", 0xc0, 32},    {"idKeyDigest", 0xe0, 48}, {"authorKeyDigest", 0x110, 48},
        {"reportId", 0x140, 32},   {"reportedTcb", 0x180, 8}, {"chipId", 0x1a0, 64}};
    json_t *out = begin("SEV-SNP report");

    (void)err;
    put_number(out, "version", c->data[0]);
    for (size_t i = 0; i < array_count(fields); i++)
        put_hex(out, fields[i].name, c->data + fields[i].at, fields[i].size);
    put_text(out, "note", "no signature is checked: sgx-tools verify-quote does that");
    return out;
}

/* ---- SIGSTRUCT ---- */

static bool is_sigstruct(const struct contents *c)
{
    static const uint8_t header[] = {6, 0, 0, 0, 0xe1, 0, 0, 0};
    return c->size >= sizeof(header) && memcmp(c->data, header, sizeof(header)) == 0;
}

static json_t *show_sigstruct(const struct contents *c, struct error *err)
{
    cleanup_error struct error bad = ERROR_INIT;
    struct sgx_sigstruct s;
    uint8_t mrsigner[32];
    static const uint8_t no_key[SGX_RSA_SIZE];

    if (c->size != sizeof(s)) {
        error_set(err, "a SIGSTRUCT of %zu bytes; it has to have %zu", c->size, sizeof(s));
        return NULL;
    }
    memcpy(&s, c->data, sizeof(s));
    bool is_signed = memcmp(s.modulus, no_key, sizeof(no_key)) != 0;
    json_t *out = begin("SIGSTRUCT");
    put_hex(out, "mrenclave", s.mrenclave, sizeof(s.mrenclave));
    sgx_sigstruct_mrsigner(&s, mrsigner);
    if (is_signed)
        put_hex(out, "mrsigner", mrsigner, sizeof(mrsigner));
    put_number(out, "isvProdId", s.isv_prod_id);
    put_number(out, "isvSvn", s.isv_svn);
    cleanup_free char *date = xasprintf("%04x-%02x-%02x", s.date >> 16, (s.date >> 8) & 0xff,
                                        s.date & 0xff);
    put_text(out, "date", date);
    put_bits(out, "vendor", s.vendor);
    put_attributes(out, "attributes", s.attributes.flags);
    put_bits(out, "attributeMask", s.attribute_mask.flags);
    json_object_set_new(out, "debugAllowed",
                        json_boolean((s.attributes.flags & SGX_ATTR_DEBUG) ||
                                     !(s.attribute_mask.flags & SGX_ATTR_DEBUG)));
    put_bits(out, "xfrm", s.attributes.xfrm);
    put_bits(out, "xfrmMask", s.attribute_mask.xfrm);
    put_bits(out, "miscselect", s.miscselect);
    put_bits(out, "miscMask", s.misc_mask);
    put_hex(out, "isvFamilyId", s.isv_family_id, sizeof(s.isv_family_id));
    put_hex(out, "isvExtProdId", s.isv_ext_prod_id, sizeof(s.isv_ext_prod_id));
    if (!is_signed)
        put_text(out, "signature", "none yet");
    else if (sgx_sigstruct_check(&s, &bad) == 0)
        put_text(out, "signature", "good");
    else
        put_text(out, "signature", error_text(&bad));
    return out;
}

/* ---- enclaves and manifests ---- */

static const struct name g_manifest_flags[] = {
    {MANIFEST_DEBUG, "debug"},
    {MANIFEST_KSS, "kss"},
    {MANIFEST_SIGNED_ELSEWHERE, "signed elsewhere"},
    {MANIFEST_AEXNOTIFY, "aexnotify"},
};

static bool is_manifest(const struct contents *c)
{
    uint64_t magic = 0;

    if (c->size >= sizeof(magic))
        memcpy(&magic, c->data, sizeof(magic));
    return magic == MANIFEST_IMAGE_MAGIC;
}

static json_t *show_manifest(const struct contents *c, struct error *err)
{
    struct manifest_image m;

    if (c->size < sizeof(m)) {
        error_set(err, "a manifest of %zu bytes is cut short", c->size);
        return NULL;
    }
    memcpy(&m, c->data, sizeof(m));
    if (m.version != MANIFEST_VERSION || m.salt_size > sizeof(m.salt)) {
        error_set(err, "a manifest of version %u; this program knows %u", m.version,
                  MANIFEST_VERSION);
        return NULL;
    }
    json_t *out = begin("manifest");
    put_hex(out, "rootHash", m.root_hash, sizeof(m.root_hash));
    put_hex(out, "salt", m.salt, m.salt_size);
    put_number(out, "imageSize", m.image_size);
    put_number(out, "dataSize", m.hash_offset);
    put_hex(out, "sitesHash", m.sites_hash, sizeof(m.sites_hash));
    put_flags(out, "flags", m.flags, g_manifest_flags, array_count(g_manifest_flags));
    if (!(m.flags & MANIFEST_KSS))
        put_hex(out, "deploymentHash", m.deployment_hash, sizeof(m.deployment_hash));
    put_number(out, "memoryLimit", m.memory_limit);
    put_number(out, "threadLimit", m.thread_limit);
    put_number(out, "staticThreads", m.static_tcs);
    put_number(out, "logLevel", m.log_level);
    return out;
}

static bool is_enclave(const struct contents *c)
{
    return c->size >= 8 && memcmp(c->data, ENCLAVE_FILE_MAGIC, 8) == 0;
}

/* The manifest of the LibOS; enclaves of other runtimes have none. */
static json_t *find_manifest(const struct enclave_file *file)
{
    for (uint32_t i = 0; i < file->header->range_count; i++) {
        const struct enclave_file_range *r = &file->ranges[i];
        if (r->file_offset == ENCLAVE_FILE_ZERO)
            continue;
        const struct contents page = {-1, file->data + r->file_offset, (size_t)r->size};
        if (is_manifest(&page))
            return show_manifest(&page, NULL);
    }
    return NULL;
}

/* What the file claims to be is hashed: a few bytes could keep us busy for days. Returns whether it
 * is within what enclaves have. */
static bool put_ranges(json_t *out, const struct enclave_file *file)
{
    uint64_t added = 0, measured = 0, threads = 0;

    for (uint32_t i = 0; i < file->header->range_count; i++) {
        const struct enclave_file_range *r = &file->ranges[i];
        added += r->size;
        measured += r->flags & ENCLAVE_FILE_MEASURED ? r->size : 0;
        threads += (r->secinfo_flags & 0xff00) == ENCLAVE_FILE_TCS ? r->size / ENCLAVE_FILE_PAGE
                                                                   : 0;
    }
    put_number(out, "ranges", file->header->range_count);
    put_number(out, "addedBytes", added);
    put_number(out, "measuredBytes", measured);
    put_number(out, "threads", threads);
    return added <= ADDED_MAX && measured <= MEASURED_MAX + file->size;
}

static int put_enclave(json_t *out, const struct contents *c, const struct enclave_file *file,
                       struct error *err)
{
    const struct enclave_file_header *h = file->header;
    json_t *manifest = find_manifest(file);
    uint8_t mrenclave[32];

    put_text(out, "mrenclave", ""); /* its place is the first */
    put_number(out, "enclaveSize", h->size);
    if (manifest)
        json_object_set_new(out, "manifest", manifest);
    if (!put_ranges(out, file))
        return error_set(err, "an enclave of so many pages is not measured here");
    if (sgx_enclave_measure(c->fd, mrenclave, err) < 0)
        return -1;
    put_hex(out, "mrenclave", mrenclave, sizeof(mrenclave));
    put_attributes(out, "attributes", h->attributes);
    put_bits(out, "xfrm", h->xfrm);
    put_bits(out, "miscselect", h->miscselect);
    put_number(out, "ssaFramePages", h->ssa_frame_size);
    json_object_set_new(out, "needsSgx2", json_boolean(h->flags & ENCLAVE_FILE_NEEDS_SGX2));
    put_number(out, "isvProdId", h->isv_prod_id);
    put_number(out, "isvSvn", h->isv_svn);
    put_hex(out, "isvFamilyId", h->isv_family_id, sizeof(h->isv_family_id));
    put_hex(out, "isvExtProdId", h->isv_ext_prod_id, sizeof(h->isv_ext_prod_id));
    put_number(out, "encluSites", h->site_count);
    return 0;
}

static json_t *show_enclave(const struct contents *c, struct error *err)
{
    struct enclave_file *file = NULL;

    if (enclave_file_parse(c->data, c->size, &file, err) < 0)
        return NULL;
    json_t *out = begin("enclave");
    if (put_enclave(out, c, file, err) < 0) {
        json_decref(out);
        out = NULL;
    }
    enclave_file_close(file);
    return out;
}

/* manifest.json and info.json of the cache: what they say, as it is. */
static bool is_json(const struct contents *c)
{
    size_t at = 0;

    while (at < c->size && at < 64 && strchr(" \t\r\n", c->data[at]) && c->data[at])
        at++;
    return at < c->size && c->data[at] == '{';
}

/* A member that is there twice would be two things to two readers. */
static json_t *parse_json(const struct contents *c, struct error *err)
{
    json_error_t problem;
    json_t *value = json_loadb((const char *)c->data, c->size, JSON_REJECT_DUPLICATES, &problem);

    if (!value)
        error_set(err, "JSON: line %d column %d: %s", problem.line, problem.column, problem.text);
    return value;
}

static json_t *show_json(const struct contents *c, struct error *err)
{
    cleanup_json json_t *text = c->size <= TEXT_MAX ? parse_json(c, err) : NULL;

    if (c->size > TEXT_MAX)
        error_set(err, "a JSON file of more than 4 MiB");
    if (!text)
        return NULL;
    bool enclave = json_object_get(text, "mrenclave"), image = json_object_get(text, "rootHash");
    if (!enclave && !image) {
        error_set(err, "a JSON file, and neither manifest.json of an enclave nor info.json of a "
                       "sealed image");
        return NULL;
    }
    json_t *out = begin(enclave ? "manifest" : "sealed image");
    json_object_update(out, text);
    put_text(out, "kind", enclave ? "manifest" : "sealed image");
    return out;
}

/* ---- deployments ---- */

static bool is_deployment(const struct contents *c)
{
    uint64_t magic = 0;

    if (c->size >= sizeof(magic))
        memcpy(&magic, c->data, sizeof(magic));
    return magic == MANIFEST_DEPLOYMENT_MAGIC;
}

static json_t *show_deployment(const struct contents *c, struct error *err)
{
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    cleanup_buffer struct buffer lines = BUFFER_INIT;
    uint8_t config_id[64] = {0};

    if (c->size > MANIFEST_DEPLOYMENT_MAX) {
        error_set(err, "a deployment of more than 4 MiB");
        return NULL;
    }
    buffer_append(&blob, c->data, c->size);
    if (enclave_describe_deployment(&blob, &lines, err) < 0)
        return NULL;
    json_t *out = begin("deployment"), *list = json_array();
    SHA256(c->data, c->size, config_id);
    put_hex(out, "configId", config_id, sizeof(config_id));
    char *next = lines.data;
    for (const char *line = strsep(&next, "\n"); line && *line; line = strsep(&next, "\n"))
        json_array_append_new(list, any_text(line));
    json_object_set_new(out, "says", list);
    return out;
}

/* ---- which ---- */

static const struct kind {
    bool (*is)(const struct contents *c);
    json_t *(*show)(const struct contents *c, struct error *err);
    bool any_size;
} g_kinds[] = {
    {is_enclave, show_enclave, true},    {is_sigstruct, show_sigstruct, false},
    {is_manifest, show_manifest, false}, {is_deployment, show_deployment, false},
    {is_json, show_json, false},         {is_snp, show_snp, false},
    {is_report, show_report, false},     {is_quote, show_quote, false},
};

json_t *inspect_file(int fd, struct error *err)
{
    struct stat st;
    struct contents c = {.fd = fd};
    json_t *out = NULL;
    bool known = false;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        error_set(err, "not a file, or an empty one");
        return NULL;
    }
    c.size = (size_t)st.st_size;
    void *map = mmap(NULL, c.size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        error_errno(err, errno, "read");
        return NULL;
    }
    c.data = map;
    for (size_t i = 0; i < array_count(g_kinds) && !known; i++) {
        known = (g_kinds[i].any_size || c.size <= SMALL_MAX) && g_kinds[i].is(&c);
        if (known)
            out = g_kinds[i].show(&c, err);
    }
    if (!known)
        error_set(err, "none of the kinds that are known: enclave, SIGSTRUCT, report, quote, "
                       "manifest, deployment");
    munmap(map, c.size);
    // cppcheck-suppress returnDanglingLifetime // what show() makes has nothing of c
    return out;
}
