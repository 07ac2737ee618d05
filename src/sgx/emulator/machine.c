/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that the emulator presents: its features and the size of its EPC. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"
#include "sgx/emulator/machine.h"

#define FEATURES    "RUNE_SGX_EMULATOR_FEATURES"
#define EPC         "RUNE_SGX_EMULATOR_EPC"
#define EPC_MINIMUM (1ull << 20) /* one instruction may need several pages at once */

static int parse_features(const char *text, struct sgx_machine *m, struct error *err)
{
    const struct {
        const char *name;
        bool *flag;
    } names[] = {
        {"sgx1", NULL}, {"sgx2", &m->sgx2}, {"kss", &m->kss}, {"aexnotify", &m->aex_notify}};

    m->sgx2 = m->kss = m->aex_notify = false;
    for (const char *at = text;;) {
        const size_t size = strcspn(at, ",");
        size_t i = 0;
        while (i < sizeof(names) / sizeof(names[0]) &&
               (strlen(names[i].name) != size || memcmp(names[i].name, at, size) != 0))
            i++;
        if (i == sizeof(names) / sizeof(names[0]))
            return error_code(err, EINVAL,
                              FEATURES " is \"%s\": a list of sgx1, sgx2, kss and aexnotify is "
                                       "expected",
                              text);
        if (names[i].flag)
            *names[i].flag = true;
        if (!at[size])
            return 0;
        at += size + 1;
    }
}

/* A number with a suffix, up to `end`. */
static int parse_size(const char *text, char end, const char **rest, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    char *at;

    errno = 0;
    unsigned long long value = strtoull(text, &at, 10);
    if (errno || at == text || *text < '0' || *text > '9')
        return -1;
    const char *suffix = *at ? strchr(suffixes, *at) : NULL;
    const unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if (suffix)
        at++;
    if ((*at && *at != end) || value > UINT64_MAX >> shift)
        return -1;
    *rest = at;
    *out = (uint64_t)value << shift;
    return 0;
}

static int parse_epc(const char *text, struct sgx_machine *m, struct error *err)
{
    const char *rest = text;
    int rc = parse_size(text, ',', &rest, &m->epc);

    if (rc == 0 && *rest)
        rc = parse_size(rest + 1, 0, &rest, &m->backing);
    if (rc < 0 || m->epc < EPC_MINIMUM)
        return error_code(err, EINVAL,
                          EPC " is \"%s\": the size of the EPC is expected, at least 1M, and "
                              "after a comma how much may be written back, such as 64M,256M",
                          text);
    return 0;
}

static int read_machine(struct sgx_machine *m, struct error *err)
{
    const char *features = secure_getenv(FEATURES), *epc = secure_getenv(EPC);

    *m = (struct sgx_machine){.emulated = true,
                              .sgx2 = true,
                              .kss = true,
                              .aex_notify = true,
                              .epc = (uint64_t)sysconf(_SC_PHYS_PAGES) * SGX_PAGE_SIZE,
                              .backing = UINT64_MAX};
    int rc = features && *features ? parse_features(features, m, err) : 0;
    return rc == 0 && epc && *epc ? parse_epc(epc, m, err) : rc;
}

/* Read once: a machine does not change under what runs on it. */
int emu_machine_get(const struct sgx_machine **out, struct error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct sgx_machine machine;
    static bool known;
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (!known) {
        rc = read_machine(&machine, err);
        known = rc == 0;
        if (known)
            emu_epc_setup(machine.epc, machine.backing);
    }
    pthread_mutex_unlock(&lock);
    *out = &machine;
    return rc;
}
