/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

static bool g_json;

/* Control characters of strangers do not reach the terminal. */
static void print_text(const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

static void print_object(const json_t *object, int indent);

static void print_value(const json_t *value, int indent)
{
    const json_t *item;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        putchar('\n');
        print_object(value, indent + 2);
        return;
    case JSON_ARRAY:
        json_array_foreach (value, i, item) {
            if (i > 0)
                printf("\n%*s", indent + 17, "");
            print_value(item, indent);
        }
        break;
    case JSON_STRING:
        print_text(json_string_value(value));
        break;
    case JSON_INTEGER:
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        printf("%g", json_real_value(value));
        break;
    default:
        fputs(json_is_true(value) ? "yes" : "no", stdout);
    }
}

static void print_object(const json_t *object, int indent)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value) {
        printf("%*s", indent, "");
        print_text(key);
        printf("%*s ", strlen(key) < 16 ? (int)(16 - strlen(key)) : 0, "");
        print_value(value, indent);
        if (!json_is_object(value))
            putchar('\n');
    }
}

static int run(int argc, char **argv, struct error *err)
{
    (void)argc;
    cleanup_close int fd = open(argv[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return error_errno(err, errno, "open %s", argv[0]);
    cleanup_json json_t *description = inspect_file(fd, err);
    if (!description)
        return error_wrap(err, "%s", argv[0]);
    if (g_json) {
        cleanup_free char *text = json_text(description, JSON_INDENT(2));
        puts(text);
    } else {
        print_object(description, 0);
    }
    return 0;
}

static const struct option g_options[] = {
    {"json", NULL, OPTION_FLAG, &g_json, NULL, "as one JSON object", NULL},
};

const struct command g_inspect = {
    .name = "inspect",
    .arguments = "FILE",
    .summary = "show what a file is, and what it says",
    .description =
        "Recognises an enclave file, a SIGSTRUCT, a report, a quote (SGX, TDX, SEV-SNP), a "
        "manifest and a deployment by its contents, and shows it. Of an enclave it computes "
        "MRENCLAVE, of a SIGSTRUCT it checks the signature, of a deployment it computes CONFIGID; "
        "reports and quotes are shown without a judgement (see verify-quote).",
    .examples = "sgx-tools inspect app.enclave\n"
                "sgx-tools inspect --json app.sig | jq -r .mrsigner\n",
    .options = g_options,
    .option_count = array_count(g_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
