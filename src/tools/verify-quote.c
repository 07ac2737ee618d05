/* SPDX-License-Identifier: Apache-2.0 */
/* sgx-tools verify-quote: libattest (include/attest.h) at the command line. */
#include "verify-quote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest.h"
#include "attest/clock.h"
#include "base/hex.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "enclave/predict.h"

enum { FILE_MAX = 4 << 20, DATA_MAX = 64 };

/* What the options say. */
static struct {
    const char *collateral, *pccs, *pccs_ca, *cache, *policy, *time, *nonce, *user_data;
    const char *deployment, *deployed;
    const char *files[ATTEST_FILE_COUNT];
    struct option_list roots[3]; /* by enum attest_root */
    long long pccs_timeout;      /* seconds */
    bool json, html, allow_simulation;
} o;

static int parse_time(const char *text, int64_t *out, struct error *err)
{
    char *end;

    if (!text) {
        *out = time(NULL);
        return 0;
    }
    if (clock_parse(text, strlen(text), out))
        return 0;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (errno || end == text || *end || seconds < 0)
        return error_set(err, "--time %s: expected 2026-01-31T12:00:00Z, or seconds since 1970",
                         text);
    *out = seconds;
    return 0;
}

/* Bytes in hexadecimal digits; *data stays NULL where there is no such option. */
static int parse_data(const char *name, const char *text, uint8_t out[DATA_MAX], const void **data,
                      size_t *size, struct error *err)
{
    if (!text)
        return 0;
    *data = out;
    *size = strlen(text) / 2;
    if (*size > DATA_MAX || !hex_parse(text, strlen(text), out, *size))
        return error_set(err, "--%s: expected at most %d bytes in hexadecimal digits", name,
                         DATA_MAX);
    return 0;
}

/* A file, or, where it may be absent, nothing. */
static int read_input(const char *path, struct buffer *out, bool optional, struct error *err)
{
    if (optional && access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    return read_file_at(AT_FDCWD, path, out, FILE_MAX, err);
}

/* What a library function said, as an error of ours. */
static int take_text(char *text, struct error *err)
{
    int rc = error_set(err, "%s", text);

    free(text);
    return rc;
}

static int add_root(struct attest_verifier *v, enum attest_root kind, const char *path,
                    bool optional, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *problem;
    int rc = read_input(path, &text, optional, err);

    if (rc < 0 || (optional && !text.size))
        return rc;
    if (attest_verifier_add_root(v, kind, text.data, text.size, &problem) < 0) {
        take_text(problem, err);
        return error_wrap(err, "%s", path);
    }
    return 0;
}

static int add_roots(struct attest_verifier *v, struct error *err)
{
    int rc = 0;

    for (unsigned kind = 0; kind < array_count(o.roots); kind++)
        for (size_t i = 0; i < o.roots[kind].count && rc == 0; i++)
            rc = add_root(v, (enum attest_root)kind, o.roots[kind].items[i], false, err);
    /* Who allows simulation takes the root that came with the collateral: nothing is lost by it. */
    if (rc == 0 && o.collateral && o.allow_simulation) {
        cleanup_free char *path = xasprintf("%s/simulation_root.pem", o.collateral);
        rc = add_root(v, ATTEST_ROOT_SIMULATION, path, true, err);
    }
    return rc;
}

/* From the service, for what the quote says of its platform. */
static int fetch_collateral(const struct attest_verifier *v, const struct buffer *evidence,
                            int64_t now, struct attest_collateral **out, struct error *err)
{
    const struct attest_service service = {.url = o.pccs,
                                           .ca_file = o.pccs_ca,
                                           .cache = o.cache,
                                           .timeout_ms = (unsigned)o.pccs_timeout * 1000};
    char *problem;

    *out = attest_fetch(v, evidence->data, evidence->size, &service, now, &problem);
    return *out ? 0 : take_text(problem, err);
}

/* The directory's files, those that are named one by one in their places. */
static int read_collateral(const struct attest_verifier *v, struct attest_collateral **out,
                           struct error *err)
{
    struct buffer texts[ATTEST_FILE_COUNT] = {0};
    struct attest_bytes bytes[ATTEST_FILE_COUNT];
    int rc = 0;

    for (unsigned i = 0; i < ATTEST_FILE_COUNT && rc == 0; i++) {
        cleanup_free char *path = o.files[i]     ? xstrdup(o.files[i])
                                  : o.collateral ? xasprintf("%s/%s", o.collateral,
                                                             attest_file_name((enum attest_file)i))
                                                 : NULL;
        if (path)
            rc = read_input(path, &texts[i], !o.files[i], err);
        bytes[i] = (struct attest_bytes){texts[i].data, texts[i].size};
    }
    if (rc == 0)
        *out = attest_collateral_new(v, bytes);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        buffer_release(&texts[i]);
    return rc;
}

/* ---- the deployment ---- */

/* What the tenant means to run, and what the node says that it started. */
struct deployments {
    struct buffer expected, found;
    uint8_t expected_hash[BUNDLE_HASH_SIZE], found_hash[BUNDLE_HASH_SIZE];
};

static void release_deployments(struct deployments *d)
{
    buffer_release(&d->expected);
    buffer_release(&d->found);
}
#define cleanup_deployments __attribute__((cleanup(release_deployments)))

static int read_deployments(struct deployments *d, struct error *err)
{
    int rc = 0;

    if (o.deployed && !o.deployment)
        return error_set(err, "--deployed needs --deployment, to be compared with");
    if (o.deployment)
        rc = enclave_predict(o.deployment, &d->expected, d->expected_hash, err);
    if (rc == 0 && o.deployed)
        rc = enclave_predict(o.deployed, &d->found, d->found_hash, err);
    return rc;
}

/* Why CONFIGID is another one, as far as that can be known; nothing when it is not. */
static int explain_deployment(const struct deployments *d, const struct attest_answer *answer,
                              struct buffer *out, struct error *err)
{
    size_t size;
    const uint8_t *configid = attest_answer_field(answer, "configid", &size);

    if (!o.deployment || !configid || memcmp(configid, d->expected_hash, BUNDLE_HASH_SIZE) == 0)
        return 0;
    if (!o.deployed) {
        buffer_append_text(out, "CONFIGID is that of another deployment. With the bundle that the "
                                "node started (--deployed) what differs can be shown.\n");
        return 0;
    }
    if (memcmp(configid, d->found_hash, BUNDLE_HASH_SIZE) != 0) {
        buffer_append_format(out, "%s is not what the enclave was started from either.\n",
                             o.deployed);
        return 0;
    }
    buffer_append_format(out, "The enclave was started from %s. Against %s (-) it has (+):\n",
                         o.deployed, o.deployment);
    return enclave_compare_deployments(&d->expected, &d->found, out, err);
}

/* ---- the policy ---- */

/* The file's, with CONFIGID as the deployment has it. */
static int read_policy(const struct deployments *d, struct attest_policy **out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *problem, configid[2 * 64 + 1];
    int rc = 0;

    if (o.policy)
        rc = read_input(o.policy, &text, false, err);
    else if (o.deployment)
        buffer_append_text(&text, "{}");
    else
        return 0;
    if (rc == 0 && o.deployment) {
        uint8_t bytes[64] = {0};
        json_error_t failure;
        memcpy(bytes, d->expected_hash, sizeof(d->expected_hash));
        cleanup_json json_t *json = json_loadb(buffer_text(&text), text.size,
                                               JSON_REJECT_DUPLICATES, &failure);
        if (!json_is_object(json))
            return error_set(err, "%s: not a JSON object", o.policy);
        if (json_object_get(json, "configid"))
            return error_set(err, "%s: configid, and --deployment as well", o.policy);
        json_object_set_new(json, "configid", json_string(hex_format(configid, bytes, 64)));
        cleanup_free char *merged = json_text(json, 0);
        buffer_clear(&text);
        buffer_append_text(&text, merged);
    }
    if (rc < 0)
        return rc;
    *out = attest_policy_parse(buffer_text(&text), text.size, &problem);
    if (*out)
        return 0;
    take_text(problem, err);
    return o.policy ? error_wrap(err, "%s", o.policy) : -1;
}

/* ---- the answer ---- */

static int print_answer(const struct attest_answer *answer, const struct deployments *d,
                        struct error *err)
{
    cleanup_buffer struct buffer words = BUFFER_INIT;
    int rc = explain_deployment(d, answer, &words, err);

    if (rc < 0)
        return rc;
    if (o.html) {
        cleanup_free char *page = attest_answer_html(answer);
        printf("%s", page);
    } else if (o.json) {
        cleanup_free char *text = attest_answer_json(answer);
        cleanup_json json_t *json = json_loads(text, 0, NULL);
        if (words.size)
            json_object_set_new(json, "deployment", json_string(buffer_text(&words)));
        cleanup_free char *whole = json_text(json, JSON_INDENT(2));
        printf("%s\n", whole);
    } else {
        cleanup_free char *text = attest_answer_text(answer);
        printf("%s%s", buffer_text(&words), text);
    }
    return (int)attest_answer_verdict(answer);
}

static int judge(struct attest_verifier *v, const char *path, const struct attest_request *request,
                 struct error *err)
{
    cleanup_buffer struct buffer evidence = BUFFER_INIT;
    cleanup_deployments struct deployments deployments = {0};
    struct attest_collateral *collateral = NULL;
    struct attest_policy *policy = NULL;
    int rc = add_roots(v, err);

    if (rc == 0)
        rc = read_input(path, &evidence, false, err);
    if (rc == 0)
        rc = read_deployments(&deployments, err);
    if (rc == 0)
        rc = read_policy(&deployments, &policy, err);
    if (rc == 0)
        rc = o.pccs ? fetch_collateral(v, &evidence, request->time, &collateral, err)
                    : read_collateral(v, &collateral, err);
    if (rc == 0) {
        struct attest_answer *answer = attest_verify(v, evidence.data, evidence.size, collateral,
                                                     policy, request);
        rc = print_answer(answer, &deployments, err);
        attest_answer_free(answer);
    }
    attest_collateral_free(collateral);
    attest_policy_free(policy);
    return rc;
}

static int run_verify_quote(int argc, char **argv, struct error *err)
{
    struct attest_request request = {.allow_simulation = o.allow_simulation};
    uint8_t nonce[DATA_MAX], user_data[DATA_MAX];

    (void)argc;
    if (parse_time(o.time, &request.time, err) < 0 ||
        parse_data("nonce", o.nonce, nonce, &request.nonce, &request.nonce_size, err) < 0 ||
        parse_data("user-data", o.user_data, user_data, &request.user_data, &request.user_data_size,
                   err) < 0)
        return -1;
    if (o.pccs_timeout < 0 || o.pccs_timeout > 3600)
        return error_set(err, "--pccs-timeout: expected at most 3600 seconds");
    if (o.pccs && o.collateral)
        return error_set(err, "--pccs and --collateral: from the one or from the other");
    if (o.collateral && access(o.collateral, R_OK | X_OK) < 0)
        return error_errno(err, errno, "--collateral %s", o.collateral);
    struct attest_verifier *v = attest_verifier_new();
    if (!v)
        return error_set(err, "OpenSSL cannot do P-256 and SHA-256");
    int rc = judge(v, argv[0], &request, err);
    attest_verifier_free(v);
    return rc;
}

#define OPTION_PART(name, file, help)                               \
    {                                                               \
        name, NULL, OPTION_TEXT, &o.files[file], "FILE", help, NULL \
    }
#define OPTION_ROOT(name, kind, help)                               \
    {                                                               \
        name, NULL, OPTION_LIST, &o.roots[kind], "FILE", help, NULL \
    }

static const struct option g_verify_quote_options[] = {
    {"collateral", NULL, OPTION_TEXT, &o.collateral, "DIR",
     "collateral: tcb_info.json, tcb_issuer_chain.pem, qe_identity.json, qe_issuer_chain.pem, "
     "pck.crl, root_ca.crl, as a PCCS serves them; pck_chain.pem for a quote that does not carry "
     "its chain; snp_chain.pem and snp.crl for SEV-SNP",
     NULL},
    {"pccs", NULL, OPTION_TEXT, &o.pccs, "URL",
     "fetch the collateral from this PCCS, or Intel's PCS (https://api.trustedservices.intel.com)",
     NULL},
    {"pccs-ca", NULL, OPTION_TEXT, &o.pccs_ca, "FILE",
     "certificates that vouch for it, in PEM (default: the system's)", NULL},
    {"pccs-timeout", NULL, OPTION_NUMBER, &o.pccs_timeout, "SECONDS",
     "how long all of it may take (default: 30)", NULL},
    {"cache", NULL, OPTION_TEXT, &o.cache, "DIR",
     "keep what was fetched here, and use it until its nextUpdate", NULL},
    {"policy", NULL, OPTION_TEXT, &o.policy, "FILE", "what is demanded (docs/attest-policy.md)",
     NULL},
    {"deployment", NULL, OPTION_TEXT, &o.deployment, "BUNDLE",
     "CONFIGID must be that of this OCI bundle (config.json and root file system)", NULL},
    {"deployed", NULL, OPTION_TEXT, &o.deployed, "BUNDLE",
     "the bundle that the node says it started; what differs from --deployment is shown in words",
     NULL},
    {"user-data", NULL, OPTION_TEXT, &o.user_data, "HEX",
     "report data must start with these bytes, ...", NULL},
    {"nonce", NULL, OPTION_TEXT, &o.nonce, "HEX", "... go on with these, and end in zeros", NULL},
    {"time", NULL, OPTION_TEXT, &o.time, "TIME",
     "judge as of 2026-01-31T12:00:00Z, or of seconds since 1970, and not as of now", NULL},
    {"json", NULL, OPTION_FLAG, &o.json, NULL, "the answer as one JSON object", NULL},
    {"html", NULL, OPTION_FLAG, &o.html, NULL, "the answer as one self-contained page", NULL},
    {"allow-simulation", NULL, OPTION_FLAG, &o.allow_simulation, NULL,
     "a quote of a software SGX may pass (insecure); simulation_root.pem of the collateral is "
     "trusted for it",
     NULL},
    OPTION_ROOT("intel-root", ATTEST_ROOT_INTEL, "trust one more root for SGX and TDX"),
    OPTION_ROOT("amd-root", ATTEST_ROOT_AMD, "trust one more ARK for SEV-SNP"),
    OPTION_ROOT("simulation-root", ATTEST_ROOT_SIMULATION,
                "trust this root for simulation, with --allow-simulation"),
    OPTION_PART("tcb-info", ATTEST_TCB_INFO, "TCB info, in place of the directory's"),
    OPTION_PART("tcb-info-chain", ATTEST_TCB_INFO_CHAIN, "its issuer chain"),
    OPTION_PART("qe-identity", ATTEST_QE_IDENTITY, "QE identity"),
    OPTION_PART("qe-identity-chain", ATTEST_QE_IDENTITY_CHAIN, "its issuer chain"),
    OPTION_PART("pck-crl", ATTEST_PCK_CRL, "CRL of the PCK CA"),
    OPTION_PART("root-crl", ATTEST_ROOT_CRL, "CRL of the root CA"),
    OPTION_PART("pck-chain", ATTEST_PCK_CHAIN, "PCK certificate chain"),
    OPTION_PART("snp-chain", ATTEST_SNP_CHAIN, "VCEK or VLEK, ASK or ASVK, and ARK"),
    OPTION_PART("snp-crl", ATTEST_SNP_CRL, "CRL of the ARK"),
};

const struct command g_verify_quote = {
    .name = "verify-quote",
    .arguments = "QUOTE",
    .summary = "judge a DCAP quote or SEV-SNP report",
    .description =
        "Is it genuine, is its platform in order, and is it what the policy describes? Takes DCAP "
        "quotes (version 3, 4, 5; SGX and TDX) and AMD SEV-SNP reports (version 2, 3, 5), and "
        "needs "
        "no network. Prints every check with its outcome, cause and remedy. Without a policy an "
        "up-to-date, not debuggable, not simulated platform passes, whoever's program it runs.\n"
        "Exit status: 0 accepted, 2 not genuine, 3 collateral is missing, changed or expired, "
        "4 simulated and not allowed, 5 the platform's TCB is not allowed, 6 not what the policy "
        "describes; 1 for anything else.",
    .examples = "sgx-tools verify-quote --collateral collateral --policy policy.json --nonce "
                "$nonce quote.bin\n",
    .options = g_verify_quote_options,
    .option_count = array_count(g_verify_quote_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_verify_quote,
};
