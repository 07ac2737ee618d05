/* SPDX-License-Identifier: Apache-2.0 */
/* Words for what the LibOS refuses by the deployment's policy: which setting would allow it, and
 * what that gives to the operator. The decision is the LibOS's (libos/entry/policy.c). */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "runtime.h"

#define COMMAND_MAX 400 /* bytes of a command in a message */

static void append_string(struct buffer *out, const char *s)
{
    buffer_append_char(out, '"');
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20) {
            buffer_append_format(out, "\\u%04x", *s);
            continue;
        }
        if (*s == '"' || *s == '\\')
            buffer_append_char(out, '\\');
        buffer_append_char(out, *s);
    }
    buffer_append_char(out, '"');
}

/* As enclave.exec wants it. */
static void append_list(struct buffer *out, const char *const *argv)
{
    size_t start = out->size;
    buffer_append_text(out, "'[[");
    for (size_t i = 0; argv[i] != NULL && out->size - start < COMMAND_MAX; i++) {
        if (i > 0)
            buffer_append_char(out, ',');
        append_string(out, argv[i]);
    }
    buffer_append_text(out, "]]'");
    if (out->size - start >= COMMAND_MAX) {
        out->size = start;
        buffer_append_text(out, "that lists it");
    }
}

static const char *const g_words[] = {
    [REFUSED_EXEC] = "enclave.exec is \"none\", so nobody starts a program in this enclave from "
                     "outside",
    [REFUSED_COMMAND] = "no entry of enclave.exec has these arguments",
    [REFUSED_USER] = "in an enclave a command has the container's own user and groups",
    [REFUSED_CAPABILITIES] = "in an enclave a command has at most the capabilities that the "
                             "container was created with",
    [REFUSED_ENVIRONMENT] = "a variable is neither the container's own nor allowed by \"env\" in "
                            "the command's entry of enclave.exec; with it the operator could "
                            "steer the program",
    [REFUSED_DIRECTORY] = "the directory is neither the container's own nor allowed by \"cwd\" in "
                          "the command's entry of enclave.exec",
    [REFUSED_TERMINAL] = "a terminal needs \"terminal\": true in the command's entry of "
                         "enclave.exec, and enclave.stdio \"host\"",
};

void refusal_log(int64_t result, const char *const *argv)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int64_t reason = -result - BOUNDARY_REFUSED;
    bool known = reason > 0 && reason < (int64_t)(sizeof(g_words) / sizeof(g_words[0]));
    buffer_append_text(&text, known ? g_words[reason] : "the LibOS does not allow it");
    if (reason == REFUSED_EXEC || reason == REFUSED_COMMAND) {
        buffer_append_text(&text, "; a container created with enclave.exec ");
        append_list(&text, argv);
        buffer_append_text(&text,
                           " lets the operator of its host run this command at any time, one with "
                           "\"any\" (insecure) every command, and so read all that it holds");
    }
    runtime_log(1, "%s", buffer_text(&text));
}
