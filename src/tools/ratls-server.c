/* SPDX-License-Identifier: Apache-2.0 */
/* ratls-server: a server in an enclave that proves itself to each client. docs/man/ratls.1.md. */
#include "base/cleanup.h"

#include "cli/cli.h"
#include "ratls-options.h"
#include "ratls/relay.h"

static const char *g_listen = "8443", *g_to;
static bool g_mutual;

static int run(int argc, char **argv, struct error *err)
{
    struct relay_options options = {.command = argc > 0 ? (const char *const *)argv : NULL};
    struct address at, to;
    struct ratls_demand demand;
    struct ratls_prover *prover = NULL;
    char *problem = NULL;

    if (argc > 0 && g_to)
        return error_set(err, "--to and a command: connections go to the one or to the other");
    if (address_parse(g_listen, "0.0.0.0", &at, err) < 0)
        return error_wrap(err, "--listen");
    if (g_to && address_parse(g_to, "127.0.0.1", &to, err) < 0)
        return error_wrap(err, "--to");
    options.to = g_to ? &to : NULL;
    if (ratls_open_prover(&prover, err) < 0 ||
        (g_mutual && ratls_open_demand(&demand, NULL, err) < 0))
        return -1;
    options.ctx = ratls_server_context(prover, g_mutual ? &demand : NULL, &problem);
    if (!options.ctx)
        return ratls_take_text(problem, err);
    options.listener = address_listen(&at, err);
    return options.listener < 0 ? error_wrap(err, "%s", g_listen) : relay_run(&options, err);
}

static const struct option g_options[] = {
    {"listen", "l", OPTION_TEXT, &g_listen, "ADDRESS",
     "where to listen: a port, or an address and a port (default: 8443)", NULL},
    {"to", NULL, OPTION_TEXT, &g_to, "ADDRESS", "pass connections on to this address", NULL},
    {"embed", NULL, OPTION_TEXT, &g_ratls.embed, "DIR",
     "put the collateral of this directory into the certificate", NULL},
    {"gramine", NULL, OPTION_FLAG, &g_ratls.gramine, NULL,
     "put evidence in Gramine's older form into the certificate as well", NULL},
    {"mutual", NULL, OPTION_FLAG, &g_mutual, NULL, "demand evidence of clients", NULL},
    {"policy", NULL, OPTION_TEXT, &g_ratls.policy, "FILE", "what clients must be", NULL},
    {"collateral", NULL, OPTION_TEXT, &g_ratls.collateral, "DIR", "to judge clients by", NULL},
    {"allow-simulation", NULL, OPTION_FLAG, &g_ratls.allow_simulation, NULL,
     "accept clients on a software SGX", NULL},
    {"quiet", "q", OPTION_FLAG, &g_ratls.quiet, NULL, "do not print the checks", NULL},
};

static const struct command g_command = {
    .name = "ratls-server",
    .arguments = "[COMMAND [ARGUMENT...]]",
    .summary = "serve over TLS that is bound to a quote of this enclave",
    .description = "Listens for TLS 1.3. The certificate carries a quote from /dev/attestation "
                   "over its key. Each connection goes to COMMAND's standard input and output, "
                   "or to another address, or, without either, back to the client. The program "
                   "is linked statically, to be put into any image.",
    .examples = "ratls-server --listen 8443 --to 8080\n"
                "ratls-server --embed /etc/collateral /bin/cat\n",
    .options = g_options,
    .option_count = array_count(g_options),
    .max_arguments = -1,
    .run = run,
    .keep_order = true,
};

int main(int argc, char **argv)
{
    static const struct program program = {.name = "ratls-server"};
    return program_main_only(&program, &g_command, argc, argv);
}
