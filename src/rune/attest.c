/* SPDX-License-Identifier: Apache-2.0 */
/* "rune attest", in the form of Inclavare Containers' rune; "rune enclave" is the project's own. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "enclave/agent.h"
#include "rune/commands.h"

static struct {
    const char *quote_type, *spid, *subscription_key, *report_file;
    bool remote;
} o = {.quote_type = "ecdsa"};

static const struct option options[] = {
    {"isRA", NULL, OPTION_FLAG, &o.remote, NULL,
     "get a remote attestation quote in place of the local report", NULL},
    {"quote-type", NULL, OPTION_TEXT, &o.quote_type, "type",
     "kind of quote: ecdsa (default); Intel's service for epidLinkable and epidUnlinkable has "
     "ended",
     NULL},
    {"spid", NULL, OPTION_TEXT, &o.spid, "id", "of EPID quotes; has no effect", NULL},
    {"subscription-key", "key", OPTION_TEXT, &o.subscription_key, "key",
     "of EPID quotes; has no effect", NULL},
    {"reportFile", NULL, OPTION_TEXT, &o.report_file, "path",
     "file for the answer, in the container's root filesystem (default: standard output)", NULL},
};

static int check_quote_type(struct error *err)
{
    if (!o.remote || strcmp(o.quote_type, "ecdsa") == 0)
        return 0;
    if (strncmp(o.quote_type, "epid", 4) == 0)
        return error_set(err,
                         "attest: --quote-type %s: Intel has ended its EPID service; use ecdsa",
                         o.quote_type);
    return error_set(err,
                     "attest: --quote-type \"%s\" is none of ecdsa, epidLinkable, "
                     "epidUnlinkable",
                     o.quote_type);
}

/* A link of the container leads nowhere but into its root filesystem. */
static int open_report_file(const struct container *container, struct error *err)
{
    cleanup_close int root = open(container->state->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, errno, "open the root filesystem %s", container->state->rootfs);
    int fd = path_open_in_root(root, o.report_file, O_WRONLY | O_CREAT | O_TRUNC, 0644, err);
    return fd < 0 ? error_wrap(err, "--reportFile") : fd;
}

static int run(int argc, char **argv, struct error *err)
{
    unsigned char data[ENCLAVE_TARGETINFO_SIZE] = {0};
    cleanup_container struct container *container = NULL;
    cleanup_frame struct agent_frame answer = {.fds = {-1, -1, -1}};
    if (check_quote_type(err) < 0 || open_enclave_container(argv[0], &container, err) < 0 ||
        ask_enclave(container, o.remote ? AGENT_QUOTE : AGENT_REPORT, data,
                    o.remote ? ENCLAVE_REPORT_DATA_SIZE : ENCLAVE_TARGETINFO_SIZE, &answer,
                    err) < 0)
        return error_wrap(err, "attest");
    cleanup_close int file = -1;
    if (o.report_file && (file = open_report_file(container, err)) < 0)
        return error_wrap(err, "attest");
    int ret = write_all(o.report_file ? file : STDOUT_FILENO, answer.blob, answer.blob_size);
    return ret < 0 ? error_errno(err, -ret, "attest: write the %s", o.remote ? "quote" : "report")
                   : 0;
}

const struct command command_attest = {
    .name = "attest",
    .arguments = "<container-id>",
    .summary = "get the report or quote of an enclave container",
    .description =
        "Writes the local report (REPORT) of the enclave, or with --isRA a quote, as the rune of "
        "Inclavare Containers does. \"rune enclave\" can say more.",
    .examples = "rune attest --reportFile /tmp/web.report web\n"
                "rune attest --isRA --quote-type ecdsa web >web.quote\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run,
    .keep_order = true,
};
