/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "enclave/locate.h"
#include "rune/commands.h"

static bool as_json;
static const char *sysroot = "";
static const struct option options[] = {
    {"json", NULL, OPTION_FLAG, &as_json, NULL, "answer as one JSON object"},
    {"sysroot", NULL, OPTION_TEXT, &sysroot, "dir",
     "look at /dev, /etc, /proc, /sys and /var in that directory"},
};

static int run(int argc, char **argv, struct error *err)
{
    (void)argc;
    (void)argv;
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    cleanup_free char *program = locate_program("rune-doctor");
    if (size > 0) {
        self[size] = 0;
        setenv("RUNE_EXECUTABLE", self, 0); /* the installation to look at (base/path.h) */
    }
    execl(program, "rune-doctor", sysroot, as_json ? "json" : (char *)NULL, (char *)NULL);
    return error_errno(err, errno, "%s (is the installation complete?)", program);
}

const struct command command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "check whether this node is fit for enclave containers",
    .description =
        "Looks at processor, firmware and kernel (SGX1, SGX2, launch control, KSS), devices, "
        "enclave "
        "memory, cgroups, mkfs.erofs, the signing key, the image cache, engines, aesmd and PCCS. "
        "It "
        "says first in words what is wrong and what to do, and what works here, then the outcome "
        "of "
        "each check. It changes nothing.\n"
        "Exit status: 0 nothing is wrong, 2 enclaves start with less than they could have, 3 "
        "enclaves do not start, 1 the check itself failed.",
    .examples = "rune doctor\n"
                "rune doctor --json | jq -r '.checks[] | select(.severity == \"fault\").remedy'\n",
    .options = options,
    .option_count = array_count(options),
    .run = run,
};
