/* SPDX-License-Identifier: Apache-2.0 */
/* ratls-client: who is at the other end, and may I talk to it? docs/man/ratls.1.md. */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "ratls-options.h"
#include "ratls/relay.h"

static const char *g_listen;
static bool g_prove;

static struct attest_collateral *fetch(void *verifier, const void *quote, size_t size, int64_t now,
                                       char **error)
{
    const struct attest_service service = {.url = g_ratls.pccs, .cache = g_ratls.cache};

    return attest_fetch(verifier, quote, size, &service, now, error);
}

static int resolve(const char *text, struct address *out, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char host[ADDRESS_HOST_MAX];
    const char *port;
    struct addrinfo *found;
    int rc = address_split(text, host, &port, err);

    if (rc < 0)
        return rc;
    rc = getaddrinfo(host[0] ? host : "127.0.0.1", port, &hints, &found);
    if (rc != 0)
        return error_set(err, "%s: %s", text, gai_strerror(rc));
    memcpy(&out->storage, found->ai_addr, found->ai_addrlen);
    out->size = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int talk(SSL_CTX *ctx, const struct address *to, const char *name, struct error *err)
{
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&to->storage, to->size) < 0)
        return error_errno(err, errno, "connect to %s", name);
    return relay_one(ctx, fd, STDIN_FILENO, STDOUT_FILENO, err);
}

static int serve(SSL_CTX *ctx, const struct address *to, struct error *err)
{
    struct relay_options options = {.ctx = ctx, .client = true, .to = to};
    struct address at;

    if (address_parse(g_listen, "127.0.0.1", &at, err) < 0)
        return error_wrap(err, "--listen");
    options.listener = address_listen(&at, err);
    return options.listener < 0 ? error_wrap(err, "%s", g_listen) : relay_run(&options, err);
}

static int run(int argc, char **argv, struct error *err)
{
    struct ratls_prover *prover = NULL;
    struct ratls_demand demand;
    struct address to;
    char *problem = NULL;

    (void)argc;
    if (g_ratls.pccs && g_ratls.collateral)
        return error_set(err, "--pccs and --collateral: from the one or from the other");
    if (resolve(argv[0], &to, err) < 0 || ratls_open_demand(&demand, fetch, err) < 0 ||
        (g_prove && ratls_open_prover(&prover, err) < 0))
        return -1;
    SSL_CTX *ctx = ratls_client_context(prover, &demand, &problem);
    if (!ctx)
        return ratls_take_text(problem, err);
    int rc = g_listen ? serve(ctx, &to, err) : talk(ctx, &to, argv[0], err);
    SSL_CTX_free(ctx);
    return rc;
}

static const struct option g_options[] = {
    {"policy", NULL, OPTION_TEXT, &g_ratls.policy, "FILE",
     "what the server must be (docs/attest-policy.md)", NULL},
    {"collateral", NULL, OPTION_TEXT, &g_ratls.collateral, "DIR",
     "collateral, as for sgx-tools verify-quote; default: what the certificate carries", NULL},
    {"pccs", NULL, OPTION_TEXT, &g_ratls.pccs, "URL",
     "fetch collateral from this service for certificates that carry none", NULL},
    {"cache", NULL, OPTION_TEXT, &g_ratls.cache, "DIR", "where fetched collateral is kept", NULL},
    {"allow-simulation", NULL, OPTION_FLAG, &g_ratls.allow_simulation, NULL,
     "accept a software SGX, which proves nothing", NULL},
    {"simulation-root", NULL, OPTION_TEXT, &g_ratls.simulation_root, "FILE",
     "root certificate of a software SGX (default: simulation_root.pem beside the collateral)",
     NULL},
    {"listen", "l", OPTION_TEXT, &g_listen, "ADDRESS",
     "take plain connections here and pass each on over its own TLS connection", NULL},
    {"prove", NULL, OPTION_FLAG, &g_prove, NULL,
     "show the server a quote of this enclave, for one that demands it", NULL},
    {"embed", NULL, OPTION_TEXT, &g_ratls.embed, "DIR",
     "with --prove: put the collateral of this directory into the certificate", NULL},
    {"quiet", "q", OPTION_FLAG, &g_ratls.quiet, NULL, "do not print the checks", NULL},
};

static const struct command g_command = {
    .name = "ratls-client",
    .arguments = "HOST:PORT",
    .summary = "talk to an enclave over TLS that is bound to its quote",
    .description =
        "Connects, judges the server's evidence against the policy, prints every check to the "
        "standard error, and, if the server is accepted, passes its standard input on and prints "
        "the answer. Nothing is sent to a server that is refused. With --listen it does the same "
        "for programs that know nothing of it.",
    .examples = "ratls-client --policy policy.json --pccs https://localhost:8081 web.example:8443\n"
                "ratls-client --policy policy.json --listen 9000 web.example:8443 &\n"
                "curl http://127.0.0.1:9000/\n",
    .options = g_options,
    .option_count = array_count(g_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};

int main(int argc, char **argv)
{
    static const struct program program = {.name = "ratls-client"};
    return program_main_only(&program, &g_command, argc, argv);
}
