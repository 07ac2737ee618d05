/* SPDX-License-Identifier: Apache-2.0 */
/* rune-signd: signs enclaves for nodes that have no key. docs/man/rune-signd.8.md. */
#include <fcntl.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/hex.h"
#include "cli/cli.h"
#include "sgx/signing_key.h"
#include "sgx/sigstruct.h"
#include "signing/signd.h"

static struct {
    const char *config;
    bool check;
} o = {.config = "/etc/rune/signd/signd.toml"};

/* A key that does not sign is found now, not by the first client. */
static int check_key(const char *key, uint8_t mrsigner[BUNDLE_HASH_SIZE], struct error *err)
{
    struct sgx_sign_params params = {0};
    struct sgx_sigstruct s;
    sgx_sigstruct_fill(&params, &s);
    if (sgx_sigstruct_sign(&s, key, err) < 0 || sgx_sigstruct_check(&s, err) < 0)
        return -1;
    sgx_sigstruct_mrsigner(&s, mrsigner);
    return 0;
}

static int check_list(const struct signd_settings *settings, struct error *err)
{
    struct signd_images images;
    int ret = signd_images_read(settings, &images, err);
    signd_images_release(&images);
    return ret;
}

static int check_audit(const char *path, struct error *err)
{
    cleanup_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    return fd < 0 ? error_errno(err, errno, "audit log %s", path) : 0;
}

static int serve(struct signd *signd, struct error *err)
{
    uint8_t mrsigner[BUNDLE_HASH_SIZE];
    const struct signd_settings *s = signd->settings;
    if (signing_programs_open(s->libos, &signd->programs, err) < 0 ||
        check_key(s->signing_key, mrsigner, err) < 0 || check_list(s, err) < 0 ||
        check_audit(s->audit, err) < 0)
        return -1;
    if (!o.check)
        return signd_serve(signd, err);
    fputs("MRSIGNER ", stdout);
    hex_print(stdout, mrsigner, sizeof(mrsigner));
    return 0;
}

static int run(int argc, char **argv, struct error *err)
{
    (void)argc;
    (void)argv;
    struct signd_settings settings;
    struct signd signd = {.settings = &settings};
    int ret = signd_settings_read(o.config, &settings, err);
    if (ret == 0)
        ret = serve(&signd, err);
    signing_programs_release(&signd.programs);
    signd_settings_release(&settings);
    return ret;
}

static const struct option g_options[] = {
    {"config", NULL, OPTION_TEXT, &o.config, "FILE",
     "the configuration (default: /etc/rune/signd/signd.toml)", NULL},
    {"check", NULL, OPTION_FLAG, &o.check, NULL,
     "check configuration, key, list and logs, print MRSIGNER, and end", NULL},
};

int main(int argc, char **argv)
{
    static const struct command command = {
        .name = "rune-signd",
        .arguments = "",
        .summary = "sign enclaves for nodes that have no key",
        .description =
            "A signing service over HTTPS with client certificates. It signs the enclaves of the "
            "images on its list, builds each of them by itself before that, and writes a line for "
            "each request.",
        .examples = "rune-signd --config /etc/rune/signd/signd.toml --check\n",
        .options = g_options,
        .option_count = array_count(g_options),
        .run = run,
    };
    static const struct program program = {.name = "rune-signd"};
    return program_main_only(&program, &command, argc, argv);
}
