/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/signed_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "attest/reader.h"
#include "base/alloc.h"
#include "base/cleanup.h"

/* More levels than Intel serves (20), and few enough to hold. */
enum { LEVELS_MAX = 512, ADVISORIES_MAX = 8192 };

/* Room for one more, zeroed; NULL at the limit. */
static void *grow(void *array, size_t *count, size_t *capacity, size_t size, size_t limit)
{
    void **slot = array;

    if (*count == limit)
        return NULL;
    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        *slot = xreallocarray(*slot, *capacity, size);
    }
    void *item = (char *)*slot + size * (*count)++;
    memset(item, 0, size);
    return item;
}

/* What the readers of one document share. */
struct parse {
    struct signed_json *json;
    struct tcb_info *info;     /* a TCB info ... */
    struct qe_identity *qe;    /* ... or a QE identity */
    struct svn_levels *levels; /* being read: a module's, or the QE's */
    struct tdx_module *module;
    struct tcb_level level;       /* being read */
    struct component_name *names; /* of the components being read */
    uint8_t *components;
    unsigned component; /* index */
    bool has_id, has_tdx;
};

/* ---- parts of levels ---- */

static bool read_status(struct reader *r, void *ctx)
{
    struct parse *p = ctx;
    struct span name;

    if (!reader_string(r, &name))
        return false;
    p->level.status = tcb_status_parse(name);
    return p->level.status != TCB_UNKNOWN || reader_fail(r, "a TCB status that is not known");
}

static bool read_level_date(struct reader *r, void *ctx)
{
    return reader_date(r, &((struct parse *)ctx)->level.date);
}

static bool read_advisory(struct reader *r, void *ctx)
{
    struct parse *p = ctx;
    struct advisories *all = &p->json->advisories;
    struct span *id = grow(&all->ids, &all->count, &all->capacity, sizeof(*id), ADVISORIES_MAX);

    if (!id)
        return reader_fail(r, "too many advisories");
    if (!reader_string(r, id))
        return false;
    for (size_t i = 0; i < id->size; i++)
        if (id->data[i] <= ' ' || id->data[i] > '~')
            return reader_fail(r, "not the name of an advisory");
    return true;
}

static bool read_advisories(struct reader *r, void *ctx)
{
    struct parse *p = ctx;

    p->level.advisories.first = (uint32_t)p->json->advisories.count;
    if (!reader_array(r, read_advisory, ctx))
        return false;
    p->level.advisories.count = (uint32_t)p->json->advisories.count - p->level.advisories.first;
    return true;
}

static bool read_svn16(struct reader *r, void *ctx)
{
    uint64_t value;

    if (!reader_uint(r, UINT16_MAX, &value))
        return false;
    ((struct parse *)ctx)->level.pcesvn = (uint16_t)value;
    return true;
}

/* ---- levels by one SVN ---- */

static bool read_svn_tcb(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {{"isvsvn", true, read_svn16}};

    return reader_object(r, fields, array_count(fields), ctx);
}

static bool read_svn_level(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"tcb", true, read_svn_tcb},
        {"tcbDate", true, read_level_date},
        {"tcbStatus", true, read_status},
        {"advisoryIDs", false, read_advisories},
    };
    struct parse *p = ctx;

    memset(&p->level, 0, sizeof(p->level));
    if (!reader_object(r, fields, array_count(fields), ctx))
        return false;
    struct svn_level *level = grow(&p->levels->levels, &p->levels->count, &p->levels->capacity,
                                   sizeof(*level), LEVELS_MAX);
    if (!level)
        return reader_fail(r, "too many levels");
    *level = (struct svn_level){.svn = p->level.pcesvn,
                                .date = p->level.date,
                                .status = p->level.status,
                                .advisories = p->level.advisories};
    return true;
}

static int by_svn(const void *a, const void *b)
{
    const struct svn_level *left = a, *right = b;

    return (int)right->svn - (int)left->svn;
}

static bool read_svn_levels(struct reader *r, void *ctx)
{
    struct parse *p = ctx;

    if (!reader_array(r, read_svn_level, ctx))
        return false;
    if (p->levels->count)
        qsort(p->levels->levels, p->levels->count, sizeof(*p->levels->levels), by_svn);
    return true;
}

/* ---- levels of a platform ---- */

static bool read_component_svn(struct reader *r, void *ctx)
{
    struct parse *p = ctx;
    uint64_t value;

    if (!reader_uint(r, UINT8_MAX, &value))
        return false;
    p->components[p->component] = (uint8_t)value;
    return true;
}

static bool read_category(struct reader *r, void *ctx)
{
    struct parse *p = ctx;
    struct span text;

    if (!reader_string(r, &text))
        return false;
    if (!p->names[p->component].category.size)
        p->names[p->component].category = text;
    return true;
}

static bool read_type(struct reader *r, void *ctx)
{
    struct parse *p = ctx;
    struct span text;

    if (!reader_string(r, &text))
        return false;
    if (!p->names[p->component].type.size)
        p->names[p->component].type = text;
    return true;
}

static bool read_component(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"svn", true, read_component_svn},
        {"category", false, read_category},
        {"type", false, read_type},
    };
    struct parse *p = ctx;

    if (p->component == 16)
        return reader_fail(r, "more than 16 components");
    if (!reader_object(r, fields, array_count(fields), ctx))
        return false;
    p->component++;
    return true;
}

static bool read_components(struct reader *r, struct parse *p, uint8_t *out,
                            struct component_name *names)
{
    p->components = out;
    p->names = names;
    p->component = 0;
    if (!reader_array(r, read_component, p))
        return false;
    return p->component == 16 || reader_fail(r, "not 16 components");
}

static bool read_sgx_components(struct reader *r, void *ctx)
{
    struct parse *p = ctx;

    return read_components(r, p, p->level.sgx, p->info->sgx_names);
}

static bool read_tdx_components(struct reader *r, void *ctx)
{
    struct parse *p = ctx;

    p->has_tdx = true;
    return read_components(r, p, p->level.tdx, p->info->tdx_names);
}

static bool read_tcb_v3(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"sgxtcbcomponents", true, read_sgx_components},
        {"pcesvn", true, read_svn16},
        {"tdxtcbcomponents", false, read_tdx_components},
    };
    struct parse *p = ctx;

    p->has_tdx = false;
    if (!reader_object(r, fields, array_count(fields), ctx))
        return false;
    return p->has_tdx == p->json->tdx ||
           reader_fail(r, "TDX components do not go with the kind of TEE");
}

#define V2_FIELD(number)                                      \
    static bool read_v2_##number(struct reader *r, void *ctx) \
    {                                                         \
        ((struct parse *)ctx)->component = (number)-1;        \
        return read_component_svn(r, ctx);                    \
    }
V2_FIELD(1)
V2_FIELD(2)
V2_FIELD(3)
V2_FIELD(4)
V2_FIELD(5)
V2_FIELD(6)
V2_FIELD(7)
V2_FIELD(8)
V2_FIELD(9)
V2_FIELD(10)
V2_FIELD(11)
V2_FIELD(12)
V2_FIELD(13)
V2_FIELD(14)
V2_FIELD(15)
V2_FIELD(16)

static bool read_tcb_v2(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"sgxtcbcomp01svn", true, read_v2_1},  {"sgxtcbcomp02svn", true, read_v2_2},
        {"sgxtcbcomp03svn", true, read_v2_3},  {"sgxtcbcomp04svn", true, read_v2_4},
        {"sgxtcbcomp05svn", true, read_v2_5},  {"sgxtcbcomp06svn", true, read_v2_6},
        {"sgxtcbcomp07svn", true, read_v2_7},  {"sgxtcbcomp08svn", true, read_v2_8},
        {"sgxtcbcomp09svn", true, read_v2_9},  {"sgxtcbcomp10svn", true, read_v2_10},
        {"sgxtcbcomp11svn", true, read_v2_11}, {"sgxtcbcomp12svn", true, read_v2_12},
        {"sgxtcbcomp13svn", true, read_v2_13}, {"sgxtcbcomp14svn", true, read_v2_14},
        {"sgxtcbcomp15svn", true, read_v2_15}, {"sgxtcbcomp16svn", true, read_v2_16},
        {"pcesvn", true, read_svn16},
    };
    struct parse *p = ctx;

    p->components = p->level.sgx;
    return reader_object(r, fields, array_count(fields), ctx);
}

static bool read_tcb(struct reader *r, void *ctx)
{
    struct parse *p = ctx;

    return p->json->version == 2 ? read_tcb_v2(r, ctx) : read_tcb_v3(r, ctx);
}

static bool read_level(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"tcb", true, read_tcb},
        {"tcbDate", true, read_level_date},
        {"tcbStatus", true, read_status},
        {"advisoryIDs", false, read_advisories},
    };
    struct parse *p = ctx;
    struct tcb_info *info = p->info;

    memset(&p->level, 0, sizeof(p->level));
    if (!reader_object(r, fields, array_count(fields), ctx))
        return false;
    struct tcb_level *level = grow(&info->levels, &info->level_count, &info->level_capacity,
                                   sizeof(*level), LEVELS_MAX);
    if (!level)
        return reader_fail(r, "too many levels");
    *level = p->level;
    return true;
}

static int by_tcb(const void *a, const void *b)
{
    const struct tcb_level *left = a, *right = b;
    int order = memcmp(right->sgx, left->sgx, sizeof(left->sgx));

    if (order == 0)
        order = (int)right->pcesvn - (int)left->pcesvn;
    return order ? order : memcmp(right->tdx, left->tdx, sizeof(left->tdx));
}

static bool read_levels(struct reader *r, void *ctx)
{
    struct parse *p = ctx;
    struct tcb_info *info = p->info;

    if (!reader_array(r, read_level, ctx))
        return false;
    if (info->level_count)
        qsort(info->levels, info->level_count, sizeof(*info->levels), by_tcb);
    return true;
}

/* ---- TDX modules ---- */

static bool read_module_id(struct reader *r, void *ctx)
{
    return reader_string(r, &((struct parse *)ctx)->module->id);
}

static bool read_module_mrsigner(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->module->mrsigner, 48);
}

static bool read_module_attributes(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->module->attributes, 8);
}

static bool read_module_mask(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->module->attributes_mask, 8);
}

static bool read_module(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"mrsigner", true, read_module_mrsigner},
        {"attributes", true, read_module_attributes},
        {"attributesMask", true, read_module_mask},
    };
    struct parse *p = ctx;

    p->info->has_module = true;
    p->module = &p->info->module;
    return reader_object(r, fields, array_count(fields), ctx);
}

static bool read_module_identity(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"id", true, read_module_id},
        {"mrsigner", true, read_module_mrsigner},
        {"attributes", true, read_module_attributes},
        {"attributesMask", true, read_module_mask},
        {"tcbLevels", true, read_svn_levels},
    };
    struct parse *p = ctx;
    struct tcb_info *info = p->info;

    p->module = grow(&info->modules, &info->module_count, &info->module_capacity,
                     sizeof(*p->module), LEVELS_MAX);
    if (!p->module)
        return reader_fail(r, "too many modules");
    p->levels = &p->module->levels;
    return reader_object(r, fields, array_count(fields), ctx);
}

static bool read_modules(struct reader *r, void *ctx)
{
    return reader_array(r, read_module_identity, ctx);
}

/* ---- the documents ---- */

static bool read_id(struct reader *r, void *ctx)
{
    struct parse *p = ctx;
    struct span id;

    if (!reader_string(r, &id))
        return false;
    if (p->info && p->info->level_count)
        return reader_fail(r, "comes after the levels, whose form it decides");
    p->has_id = true;
    p->json->tdx = span_is(id, p->info ? "TDX" : "TD_QE");
    return p->json->tdx || span_is(id, p->info ? "SGX" : "QE") ||
           reader_fail(r, "not of SGX or TDX");
}

static bool read_version(struct reader *r, void *ctx)
{
    struct parse *p = ctx;

    if (!reader_uint(r, UINT32_MAX, &p->json->version))
        return false;
    return p->json->version == 2 || (p->info && p->json->version == 3) ||
           reader_fail(r, "a version that is not supported");
}

static bool read_issue_date(struct reader *r, void *ctx)
{
    return reader_date(r, &((struct parse *)ctx)->json->issue_date);
}

static bool read_next_update(struct reader *r, void *ctx)
{
    return reader_date(r, &((struct parse *)ctx)->json->next_update);
}

static bool read_evaluation_number(struct reader *r, void *ctx)
{
    return reader_uint(r, UINT32_MAX, &((struct parse *)ctx)->json->evaluation_number);
}

static bool read_tcb_type(struct reader *r, void *ctx)
{
    uint64_t type;

    return reader_uint(r, 0, &type) || reader_fail(r, "a TCB type that is not supported");
}

static bool read_fmspc(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->info->fmspc, 6);
}

static bool read_pceid(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->info->pceid, 2);
}

/*
 * The levels' form follows from version and id. Intel serves these first; where they are not, the
 * document is refused, as version 0 has no levels.
 */
static bool read_levels_in_order(struct reader *r, void *ctx)
{
    return ((struct parse *)ctx)->json->version ? read_levels(r, ctx)
                                                : reader_fail(r, "comes before the version");
}

static bool read_tcb_info(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"id", false, read_id},
        {"version", true, read_version},
        {"issueDate", true, read_issue_date},
        {"nextUpdate", true, read_next_update},
        {"fmspc", true, read_fmspc},
        {"pceId", true, read_pceid},
        {"tcbType", true, read_tcb_type},
        {"tcbEvaluationDataNumber", true, read_evaluation_number},
        {"tdxModule", false, read_module},
        {"tdxModuleIdentities", false, read_modules},
        {"tcbLevels", true, read_levels_in_order},
    };
    struct parse *p = ctx;

    if (!reader_object(r, fields, array_count(fields), ctx))
        return false;
    if (p->json->version > 2 && !p->has_id)
        return reader_fail(r, "without an id");
    if (p->json->tdx && (p->json->version < 3 || !p->info->has_module))
        return reader_fail(r, "of TDX, but without a TDX module");
    return true;
}

static bool read_miscselect(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->qe->miscselect, 4);
}

static bool read_miscselect_mask(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->qe->miscselect_mask, 4);
}

static bool read_attributes(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->qe->attributes, 16);
}

static bool read_attributes_mask(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->qe->attributes_mask, 16);
}

static bool read_mrsigner(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->qe->mrsigner, 32);
}

static bool read_isv_prod_id(struct reader *r, void *ctx)
{
    uint64_t value;

    if (!reader_uint(r, UINT16_MAX, &value))
        return false;
    ((struct parse *)ctx)->qe->isv_prod_id = (uint16_t)value;
    return true;
}

static bool read_identity(struct reader *r, void *ctx)
{
    static const struct reader_field fields[] = {
        {"id", true, read_id},
        {"version", true, read_version},
        {"issueDate", true, read_issue_date},
        {"nextUpdate", true, read_next_update},
        {"tcbEvaluationDataNumber", true, read_evaluation_number},
        {"miscselect", true, read_miscselect},
        {"miscselectMask", true, read_miscselect_mask},
        {"attributes", true, read_attributes},
        {"attributesMask", true, read_attributes_mask},
        {"mrsigner", true, read_mrsigner},
        {"isvprodid", true, read_isv_prod_id},
        {"tcbLevels", true, read_svn_levels},
    };

    return reader_object(r, fields, array_count(fields), ctx);
}

/* The inner object, and its bytes. */
static bool read_inner(struct reader *r, void *ctx)
{
    struct parse *p = ctx;

    reader_space(r);
    const char *start = r->at;
    if (!(p->info ? read_tcb_info(r, ctx) : read_identity(r, ctx)))
        return false;
    p->json->signed_bytes = span_of(start, (size_t)(r->at - start));
    return true;
}

static bool read_signature(struct reader *r, void *ctx)
{
    return reader_hex(r, ((struct parse *)ctx)->json->signature, 64);
}

static int parse_document(struct span text, const char *name, struct parse *p, struct error *err)
{
    const struct reader_field fields[] = {{name, true, read_inner},
                                          {"signature", true, read_signature}};
    struct reader r;

    reader_start(&r, text);
    if (reader_object(&r, fields, array_count(fields), p) && reader_end(&r))
        return 0;
    return error_code(
        err, EINVAL, "%.*s%s%s (byte %zu)", (int)(r.where.size < 40 ? r.where.size : 40),
        r.where.data ? (const char *)r.where.data : "", r.where.size ? ": " : "",
        r.problem ? r.problem : "cannot be read", (size_t)(r.at - (const char *)text.data));
}

int tcb_info_parse(struct span text, struct tcb_info *out, struct error *err)
{
    struct parse p = {.json = &out->json, .info = out};

    *out = (struct tcb_info){.has_module = false};
    return parse_document(text, "tcbInfo", &p, err);
}

void tcb_info_release(struct tcb_info *info)
{
    for (size_t i = 0; i < info->module_count; i++)
        free(info->modules[i].levels.levels);
    free(info->modules);
    free(info->levels);
    free(info->json.advisories.ids);
    *info = (struct tcb_info){.has_module = false};
}

int qe_identity_parse(struct span text, struct qe_identity *out, struct error *err)
{
    struct parse p = {.json = &out->json, .qe = out, .levels = &out->levels};

    *out = (struct qe_identity){.isv_prod_id = 0};
    return parse_document(text, "enclaveIdentity", &p, err);
}

void qe_identity_release(struct qe_identity *identity)
{
    free(identity->levels.levels);
    free(identity->json.advisories.ids);
    *identity = (struct qe_identity){.isv_prod_id = 0};
}
