/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/hex.h"
#include "enclave/agent.h"
#include "rune/commands.h"

static const char *g_data;

static const struct option options[] = {
    {"data", NULL, OPTION_TEXT, &g_data, "hex",
     "report data for quote: up to 64 bytes in hexadecimal (the built-in LibOS puts a fixed text "
     "in their place and takes none); target information for report: 512 bytes; default is zeros"},
};

/* `text` in hexadecimal to the start of data, the rest zero. */
static int read_hex(const char *text, unsigned char *data, size_t size, struct error *err)
{
    memset(data, 0, size);
    size_t length = text ? strlen(text) : 0;
    if (length % 2 != 0 || length / 2 > size)
        return error_set(err, "--data: at most %zu bytes, two digits each", size);
    for (size_t i = 0; i < length; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return error_set(err, "--data: \"%c\" is not a hexadecimal digit", text[i]);
        data[i / 2] = (unsigned char)(data[i / 2] << 4 | digit);
    }
    return 0;
}

static const struct question {
    const char *name;
    enum agent_type type;
    size_t data_size;
    bool binary;
} g_questions[] = {
    {"info", AGENT_INFO, 0, false},
    {"stats", AGENT_STATS, 0, false},
    {"report", AGENT_REPORT, ENCLAVE_TARGETINFO_SIZE, true},
    {"quote", AGENT_QUOTE, ENCLAVE_REPORT_DATA_SIZE, true},
};

int open_enclave_container(const char *id, struct container **out, struct error *err)
{
    if (open_container(id, out, err) < 0)
        return -1;
    if (!(*out)->state->enclave)
        return error_set(err, "container %s is not an enclave container", id);
    return 0;
}

int ask_enclave(const struct container *container, enum agent_type type, const void *data,
                size_t size, struct agent_frame *answer, struct error *err)
{
    cleanup_close int socket = -1;
    if (agent_connect(container->dir, &socket, err) < 0)
        return -1;
    return agent_ask(socket, type, NULL, data, size, answer, err);
}

static int ask(const struct container *container, const struct question *question,
               struct error *err)
{
    unsigned char data[ENCLAVE_TARGETINFO_SIZE];
    cleanup_frame struct agent_frame answer = {.fds = {-1, -1, -1}};
    if (read_hex(g_data, data, question->data_size, err) < 0 ||
        ask_enclave(container, question->type, data, question->data_size, &answer, err) < 0)
        return -1;
    if (!question->binary) {
        cleanup_free char *text = json_text(answer.json, JSON_INDENT(2));
        puts(text);
        return 0;
    }
    int ret = write_all(STDOUT_FILENO, answer.blob, answer.blob_size);
    return ret < 0 ? error_errno(err, -ret, "write the %s", question->name) : 0;
}

static int run(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    const struct question *question = NULL;
    for (size_t i = 0; i < array_count(g_questions); i++)
        if (strcmp(argv[0], g_questions[i].name) == 0)
            question = &g_questions[i];
    if (!question)
        return error_set(err, "rune enclave: \"%s\" is none of info, stats, report, quote",
                         argv[0]);
    if (open_enclave_container(argv[1], &container, err) < 0)
        return -1;
    return ask(container, question, err);
}

const struct command command_enclave = {
    .name = "enclave",
    .arguments = "info|stats|report|quote <container-id>",
    .summary = "ask an enclave container about its enclave",
    .description =
        "info shows the identity of the enclave (MRENCLAVE, MRSIGNER, whether it is emulated), "
        "stats its memory and threads, both as JSON. report writes a local report (the structure "
        "REPORT), quote a remote attestation quote, to the standard output.",
    .examples = "rune enclave info web | jq -r .mrenclave\n"
                "rune enclave report web >web.report && sgx-tools report web.report\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
