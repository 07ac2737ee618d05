/* SPDX-License-Identifier: Apache-2.0 */
/* DCAP quotes: every check that needs no policy, in Intel's order. docs/design/attestation.md. */
#include <errno.h>
#include <stdlib.h>

#include "../../abi/sgx_emulated.h"
#include "attest/answer.h"
#include "attest/clock.h"
#include "base/hex.h"
#include "attest/snp.h"
#include "base/alloc.h"
#include "base/cleanup.h"

/* What one verification has at hand. */
struct verification {
    struct attest_verifier *verifier;
    struct attest_answer *answer;
    struct attest_collateral *collateral; /* its CRLs remember who signed them */
    struct quote quote;
    struct pck_chain *chain; /* NULL when it did not verify */
    int64_t time;
    bool allow_simulation;
};

static const char g_fetch[] = "fetch the collateral again from a PCCS or from Intel's PCS";
static const char g_damaged[] = "it was changed on its way; fetch it again";
static const char g_forged[] = "the evidence was changed or forged; do not trust it";
static const char g_expired[] =
    "fetch current collateral, or, to judge the past, give the time of then; the policy's "
    "allow_expired_collateral tolerates it";

/* ---- dates ---- */

/* Passed, or failed for the first of the spans of time that `time` is not in. */
static void check_dates(struct verification *v, enum check_id id, const char *what, int64_t from,
                        int64_t until)
{
    struct clock_text now, edge;
    struct attest_answer *a = v->answer;

    if (v->time < from)
        answer_fail(a, id, false, "check the clock: the time of verification is before it",
                    "%s is valid from %s on, and it is %s", what, clock_format(&edge, from),
                    clock_format(&now, v->time));
    else if (v->time > until)
        answer_fail(a, id, a->policy->allow_expired_collateral, g_expired,
                    "%s expired at %s, and it is %s", what, clock_format(&edge, until),
                    clock_format(&now, v->time));
    else
        answer_pass(a, id);
}

/* ---- the PCK chain ---- */

static const char *certification_name(unsigned type)
{
    static const char *const names[] = {
        [CERTIFICATION_PPID] = "the PPID alone",
        [CERTIFICATION_PPID_RSA2048] = "a PPID encrypted with RSA-2048",
        [CERTIFICATION_PPID_RSA3072] = "a PPID encrypted with RSA-3072",
        [CERTIFICATION_PCK_LEAF] = "a PCK certificate without its chain",
    };
    return names[type];
}

/* The last bytes of types 1 to 3: PPID, CPUSVN, PCESVN, PCEID. */
enum { PPID_SIZE = 16, CPUSVN_SIZE = 16, PCESVN_SIZE = 2, PCEID_SIZE = 2 };

/* What the quote says of its key, where the chain comes from elsewhere, must fit that chain. */
static bool certification_fits(const struct quote *q, const struct pck_chain *chain)
{
    static const size_t sizes[] = {[CERTIFICATION_PPID] = PPID_SIZE,
                                   [CERTIFICATION_PPID_RSA2048] = 256,
                                   [CERTIFICATION_PPID_RSA3072] = 384};
    const size_t rest = CPUSVN_SIZE + PCESVN_SIZE + PCEID_SIZE;
    struct span data = q->certification;
    struct pem_objects leaf;

    if (q->certification_type == CERTIFICATION_PCK_CHAIN)
        return true;
    if (q->certification_type == CERTIFICATION_PCK_LEAF) {
        bool same = pem_read(data, "CERTIFICATE", &leaf, NULL) == 0 && leaf.count == 1 &&
                    span_equal(leaf.objects[0], chain->chain.certs[0].der);
        pem_release(&leaf);
        return same;
    }
    return data.size == sizes[q->certification_type] + rest &&
           memcmp(data.data + data.size - PCEID_SIZE, chain->pck.pceid, PCEID_SIZE) == 0 &&
           (q->certification_type != CERTIFICATION_PPID ||
            memcmp(data.data, chain->pck.ppid, PPID_SIZE) == 0);
}

static void check_chain(struct verification *v)
{
    cleanup_error struct error err = ERROR_INIT;
    struct attest_answer *a = v->answer;
    bool own = v->quote.certification_type == CERTIFICATION_PCK_CHAIN;
    struct span text = own             ? v->quote.certification
                       : v->collateral ? v->collateral->text[ATTEST_PCK_CHAIN]
                                       : span_of(NULL, 0);

    if (!text.size) {
        answer_fail_as(a, CHECK_CHAIN, ATTEST_BAD_COLLATERAL,
                       "get the platform's PCK certificate chain (pck_chain.pem) from the PCCS or "
                       "PCS that it is registered with, and give it as collateral",
                       "the quote has %s (certification data type %u), and no PCK certificate "
                       "chain is given",
                       own ? "an empty chain" : certification_name(v->quote.certification_type),
                       v->quote.certification_type);
        return;
    }
    v->chain = pck_chain_get(v->verifier, text, &err);
    if (!v->chain) {
        answer_fail(a, CHECK_CHAIN, false,
                    err.code != ENOKEY ? g_forged
                    : a->simulated
                        ? "give the simulation root of the machine that made it"
                        : "do not trust it; it may be from a pre-production platform, or "
                          "simulated",
                    "PCK certificate chain: %s", error_text(&err));
        return;
    }
    a->has_pck = true;
    a->pck = v->chain->pck;
    if (!certification_fits(&v->quote, v->chain)) {
        answer_fail(a, CHECK_CHAIN, false, "give the chain of the platform that made the quote",
                    "the PCK certificate chain is of another platform than the quote names");
        return;
    }
    if (v->chain->root->simulation != a->simulated) {
        answer_fail(a, CHECK_CHAIN, false, g_forged,
                    a->simulated ? "a software SGX's quote has a chain of Intel's"
                                 : "a simulation root has signed for a processor");
        return;
    }
    answer_pass(a, CHECK_CHAIN);
    check_dates(v, CHECK_CHAIN_DATES, "the PCK certificate chain", v->chain->from, v->chain->until);
}

/* ---- revocation ---- */

/* One list against the certificate that must have issued it. */
static bool check_crl(struct verification *v, enum check_id id, struct collateral_crl *crl,
                      const struct cert *issuer, const char *what)
{
    cleanup_error struct error err = ERROR_INIT;
    struct attest_answer *a = v->answer;

    if (!crl || !crl->text.size) {
        answer_fail(a, id, a->policy->allow_missing_crl, g_fetch, "%s is missing", what);
        return false;
    }
    if (collateral_crl_verify(crl, issuer, v->verifier->p256, &err) < 0) {
        answer_fail(a, id, false, g_damaged, "%s: %s", what, error_text(&err));
        return false;
    }
    answer_pass(a, id);
    check_dates(v, CHECK_CRL_DATES, what, crl->crl.this_update, crl->crl.next_update);
    return true;
}

static void report_revoked(struct verification *v, const struct cert *cert, const char *what)
{
    char serial[64];

    answer_fail(
        v->answer, CHECK_REVOCATION, false, "do not use this platform: its key is known",
        "%s %s is revoked", what,
        hex_format(serial, cert->serial.data, cert->serial.size < 21 ? cert->serial.size : 21));
}

static void check_revocation(struct verification *v)
{
    struct attest_collateral *c = v->collateral;
    const struct cert *certs = v->chain->chain.certs;
    bool root_good = check_crl(v, CHECK_ROOT_CRL, c ? &c->root_crl : NULL, &certs[2],
                               "the root CA CRL");
    bool pck_good = check_crl(v, CHECK_PCK_CRL, c ? &c->pck_crl : NULL, &certs[1], "the PCK CRL");
    const struct collateral_chain *chains[] = {c ? &c->tcb_chain : NULL, c ? &c->qe_chain : NULL};

    if (pck_good && crl_has(&c->pck_crl.crl, &certs[0]))
        report_revoked(v, &certs[0], "the PCK certificate");
    if (root_good && crl_has(&c->root_crl.crl, &certs[1]))
        report_revoked(v, &certs[1], "the PCK CA's certificate");
    for (size_t i = 0; i < array_count(chains) && root_good; i++)
        if (chains[i]->root && crl_has(&c->root_crl.crl, &chains[i]->chain.certs[0]))
            report_revoked(v, &chains[i]->chain.certs[0], "the TCB signing certificate");
    if (v->answer->checks[CHECK_REVOCATION].outcome == ATTEST_NOT_CHECKED && pck_good &&
        (root_good || v->answer->checks[CHECK_ROOT_CRL].outcome == ATTEST_TOLERATED))
        answer_pass(v->answer, CHECK_REVOCATION);
}

/* ---- signed JSON ---- */

/*
 * A document's signature and dates. It must hang on the same root as the PCK chain: a simulation
 * root has no say on Intel's platforms.
 */
static bool check_document(struct verification *v, enum check_id id, enum check_id dates,
                           enum attest_file file, const struct signed_json *json,
                           const struct error *problem, const struct collateral_chain *chain)
{
    struct attest_answer *a = v->answer;

    if (!v->collateral || !v->collateral->text[file].size) {
        answer_fail(a, id, false, g_fetch, "%s is missing", attest_file_name(file));
        return false;
    }
    if (problem->message) {
        answer_fail(a, id, false, problem->code == ENOENT ? g_fetch : g_damaged, "%s: %s",
                    attest_file_name(file), error_text(problem));
        return false;
    }
    if (v->chain && v->chain->root != chain->root) {
        answer_fail(a, id, false, g_fetch, "%s: it is signed under another root than the quote",
                    attest_file_name(file));
        return false;
    }
    answer_pass(a, id);
    check_dates(v, dates, attest_file_name(file), json->issue_date, json->next_update);
    check_dates(v, dates, "its issuer chain", chain->from, chain->until);
    return true;
}

static bool check_platform(struct verification *v)
{
    const struct tcb_info *info = &v->collateral->tcb_info;
    struct attest_answer *a = v->answer;
    char has[13], is[13];

    if (info->json.tdx != quote_is_td(&v->quote)) {
        answer_fail(a, CHECK_TCB_INFO_PLATFORM, false, g_fetch,
                    "TCB info is of %s, the quote of %s", info->json.tdx ? "TDX" : "SGX",
                    info->json.tdx ? "SGX" : "TDX");
        return false;
    }
    if (!v->chain)
        return false;
    if (memcmp(info->fmspc, v->chain->pck.fmspc, sizeof(info->fmspc)) != 0 ||
        memcmp(info->pceid, v->chain->pck.pceid, sizeof(info->pceid)) != 0) {
        answer_fail(a, CHECK_TCB_INFO_PLATFORM, false, "fetch the TCB info of the platform's FMSPC",
                    "TCB info is of FMSPC %s, the platform of %s (or the PCE differs)",
                    hex_format(has, info->fmspc, 6), hex_format(is, v->chain->pck.fmspc, 6));
        return false;
    }
    answer_pass(a, CHECK_TCB_INFO_PLATFORM);
    return true;
}

static bool check_tcb_info(struct verification *v)
{
    struct attest_collateral *c = v->collateral;

    return check_document(v, CHECK_TCB_INFO, CHECK_TCB_INFO_DATES, ATTEST_TCB_INFO,
                          c ? &c->tcb_info.json : NULL, c ? &c->tcb_info_error : NULL,
                          c ? &c->tcb_chain : NULL) &&
           check_platform(v);
}

static bool check_qe_identity(struct verification *v)
{
    struct attest_collateral *c = v->collateral;

    if (!check_document(v, CHECK_QE_IDENTITY, CHECK_QE_IDENTITY_DATES, ATTEST_QE_IDENTITY,
                        c ? &c->qe_identity.json : NULL, c ? &c->qe_identity_error : NULL,
                        c ? collateral_qe_chain(c) : NULL))
        return false;
    if (c->qe_identity.json.tdx == quote_is_td(&v->quote))
        return true;
    v->answer->checks[CHECK_QE_IDENTITY].outcome = ATTEST_NOT_CHECKED;
    answer_fail(v->answer, CHECK_QE_IDENTITY, false, g_fetch,
                "the QE identity is of %s, the quote of %s",
                c->qe_identity.json.tdx ? "TDX" : "SGX", c->qe_identity.json.tdx ? "SGX" : "TDX");
    return false;
}

/* ---- the quoting enclave ---- */

static void check_qe_report(struct verification *v)
{
    const struct quote *q = &v->quote;

    if (pck_chain_signed(v->chain, v->verifier->p256, q->qe_report_bytes, q->qe_signature))
        answer_pass(v->answer, CHECK_QE_REPORT);
    else
        answer_fail(v->answer, CHECK_QE_REPORT, false, g_forged,
                    "the signature of the QE report is not by the PCK certificate's key");
}

static void check_binding(struct verification *v)
{
    const struct quote *q = &v->quote;
    uint8_t digest[32];

    p256_hash2(v->verifier->p256, span_of(q->key, 64), q->auth_data, digest);
    if (memcmp(digest, q->qe_report.report_data, 32) == 0 &&
        span_is_zero(span_of(q->qe_report.report_data + 32, 32)))
        answer_pass(v->answer, CHECK_QE_BINDING);
    else
        answer_fail(v->answer, CHECK_QE_BINDING, false, g_forged,
                    "the QE report does not name the attestation key");
}

static bool masked_equal(const void *value, const uint8_t *mask, const uint8_t *expected,
                         size_t size)
{
    const uint8_t *bytes = value;

    for (size_t i = 0; i < size; i++)
        if ((bytes[i] & mask[i]) != expected[i])
            return false;
    return true;
}

static void check_qe_enclave(struct verification *v)
{
    const struct qe_identity *id = &v->collateral->qe_identity;
    const struct sgx_report_body *qe = &v->quote.qe_report;
    const char *differs = NULL;

    if (!masked_equal(&qe->miscselect, id->miscselect_mask, id->miscselect, 4))
        differs = "MISCSELECT";
    else if (!masked_equal(&qe->attributes, id->attributes_mask, id->attributes, 16))
        differs = "ATTRIBUTES";
    else if (memcmp(qe->mrsigner, id->mrsigner, sizeof(qe->mrsigner)) != 0)
        differs = "MRSIGNER";
    else if (qe->isv_prod_id != id->isv_prod_id)
        differs = "ISVPRODID";
    if (differs)
        answer_fail(v->answer, CHECK_QE_ENCLAVE, false, g_forged,
                    "the enclave that signed it is not the quoting enclave: its %s is not that of "
                    "the QE identity",
                    differs);
    else
        answer_pass(v->answer, CHECK_QE_ENCLAVE);
}

static void check_quote_signature(struct verification *v)
{
    const struct quote *q = &v->quote;

    if (p256_verify(v->verifier->p256, q->key, q->signed_bytes, q->signature))
        answer_pass(v->answer, CHECK_SIGNATURE);
    else
        answer_fail(v->answer, CHECK_SIGNATURE, false, g_forged,
                    "the quote's signature is not by its attestation key");
}

/* ---- TCB ---- */

static void check_tdx_module(struct verification *v)
{
    const struct td_report *td = &v->quote.td;
    const struct tdx_module *module = tcb_find_module(&v->collateral->tcb_info, td->tee_tcb_svn);

    if (!module)
        answer_fail_as(v->answer, CHECK_TDX_MODULE, ATTEST_BAD_TCB,
                       "fetch newer TCB info, or update the platform's TDX module",
                       "TCB info does not know a TDX module of version %u", td->tee_tcb_svn[1]);
    else if (memcmp(td->mrsigner_seam, module->mrsigner, sizeof(td->mrsigner_seam)) != 0 ||
             !masked_equal(td->seam_attributes, module->attributes_mask, module->attributes, 8) ||
             !span_is_zero(span_of(td->seam_attributes, sizeof(td->seam_attributes))))
        answer_fail(v->answer, CHECK_TDX_MODULE, false, g_forged,
                    "the TDX module's signer or attributes are not Intel's");
    else
        answer_pass(v->answer, CHECK_TDX_MODULE);
}

static void check_tcb(struct verification *v)
{
    struct attest_answer *a = v->answer;
    const struct attest_collateral *c = v->collateral;

    if (quote_is_td(&v->quote))
        check_tdx_module(v);
    tcb_evaluate(&c->tcb_info, &c->qe_identity, &v->chain->pck, &v->quote, &a->tcb);
    if (a->tcb.status != TCB_NOT_SUPPORTED)
        answer_pass(a, CHECK_TCB_LEVEL);
    else
        answer_fail(
            a, CHECK_TCB_LEVEL, false,
            "update BIOS, microcode and SGX software of the platform and provision it again",
            "no TCB level of %s covers it",
            a->tcb.platform == TCB_NOT_SUPPORTED ? "the platform's TCB info"
            : a->tcb.module == TCB_NOT_SUPPORTED ? "its TDX module's"
                                                 : "the quoting enclave's, or of now,");
}

/* ---- all of it ---- */

static bool is_simulated(const struct quote *q)
{
    return sgx_cpusvn_is_emulated(q->qe_report.cpu_svn) ||
           (!quote_is_td(q) && sgx_cpusvn_is_emulated(q->report.cpu_svn));
}

/* false when simulation is refused: then nothing more is looked at. */
static bool check_simulation(struct verification *v)
{
    struct attest_answer *a = v->answer;
    bool allowed = a->policy->allow_simulation || v->allow_simulation;

    a->simulated = is_simulated(&v->quote);
    if (!a->simulated) {
        answer_pass(a, CHECK_SIMULATION);
        return true;
    }
    answer_fail(a, CHECK_SIMULATION, allowed,
                "run it on a machine with SGX, or allow simulation for tests (the policy's "
                "allow_simulation, --allow-simulation)",
                "made by the software SGX: it protects nothing from the machine's operator, who "
                "can also forge this evidence");
    return allowed;
}

static void verify_quote(struct verification *v, struct span evidence)
{
    cleanup_error struct error err = ERROR_INIT;
    struct attest_answer *a = v->answer;
    bool tcb_info, qe_identity;

    if (quote_parse(evidence, &v->quote, &err) < 0) {
        answer_fail(a, CHECK_FORMAT, false, "give a DCAP quote, or an SEV-SNP report", "%s",
                    error_text(&err));
        return;
    }
    answer_pass(a, CHECK_FORMAT);
    a->tee = quote_is_td(&v->quote) ? ATTEST_TEE_TDX : ATTEST_TEE_SGX;
    a->version = v->quote.version;
    a->body_type = v->quote.body_type;
    a->certification_type = v->quote.certification_type;
    a->body_size = quote_is_td(&v->quote) ? sizeof(v->quote.td) : sizeof(v->quote.report);
    memcpy(a->body,
           quote_is_td(&v->quote) ? (const void *)&v->quote.td : (const void *)&v->quote.report,
           a->body_size);
    if (!check_simulation(v))
        return;
    check_chain(v);
    if (v->chain)
        check_revocation(v);
    tcb_info = check_tcb_info(v);
    qe_identity = check_qe_identity(v);
    if (v->chain)
        check_qe_report(v);
    check_binding(v);
    if (qe_identity)
        check_qe_enclave(v);
    check_quote_signature(v);
    if (v->chain && tcb_info && qe_identity)
        check_tcb(v);
}

struct attest_answer *attest_verify(struct attest_verifier *verifier, const void *evidence,
                                    size_t size, const struct attest_collateral *collateral,
                                    const struct attest_policy *policy,
                                    const struct attest_request *request)
{
    struct attest_answer *a = xcalloc(1, sizeof(*a));
    struct verification v = {.verifier = verifier,
                             .answer = a,
                             .collateral = (struct attest_collateral *)collateral,
                             .time = request->time,
                             .allow_simulation = request->allow_simulation};

    a->policy = policy ? policy : &g_default_policy;
    a->collateral = collateral;
    a->time = request->time;
    if (snp_is_report(span_of(evidence, size)))
        snp_verify(verifier, span_of(evidence, size), collateral, a);
    else
        verify_quote(&v, span_of(evidence, size));
    if (a->tee != ATTEST_TEE_NONE)
        policy_check(a, request);
    a->chain = v.chain;
    answer_finish(a);
    return a;
}
