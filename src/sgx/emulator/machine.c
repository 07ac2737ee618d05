/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that the emulator presents: its features and the size of its EPC. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "sgx/emulator/emulator.h"
#include "sgx/emulator/machine.h"

#define FEATURES    "RUNE_SGX_EMULATOR_FEATURES"
#define EPC         "RUNE_SGX_EMULATOR_EPC"
#define TRAP        "RUNE_SGX_EMULATOR_TRAP"
#define ISOLATE     "RUNE_SGX_EMULATOR_ISOLATE"
#define SIZE_LIMIT  (1ull << 46) /* of an enclave: a process has 2^47 bytes */
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

static int parse_epc(const char *text, struct sgx_machine *m, struct error *err)
{
    const size_t size = strcspn(text, ",");
    const char *backing = text[size] ? text + size + 1 : NULL;

    if (number_parse(text, size, UINT64_MAX, &m->epc) < 0 || m->epc < EPC_MINIMUM ||
        (backing && number_parse(backing, strlen(backing), UINT64_MAX, &m->backing) < 0))
        return error_code(err, EINVAL,
                          EPC " is \"%s\": the size of the EPC is expected, at least 1M, and "
                              "after a comma how much may be written back, such as 64M,256M",
                          text);
    return 0;
}

static int set_isolation(struct error *err)
{
    static const char *const names[] = {
        [EMU_ISOLATE_AUTO] = "auto", [EMU_ISOLATE_KEYS] = "keys", [EMU_ISOLATE_PAGES] = "pages"};
    const char *text = secure_getenv(ISOLATE);

    if (!text || !*text)
        return 0;
    for (unsigned i = EMU_ISOLATE_AUTO; i <= EMU_ISOLATE_PAGES; i++)
        if (strcmp(text, names[i]) == 0)
            return emu_isolate_setup((enum emu_isolation)i, err);
    return error_code(err, EINVAL, ISOLATE " is \"%s\": auto, keys or pages is expected", text);
}

static int set_traps(const struct sgx_machine *m, struct error *err)
{
    const char *text = secure_getenv(TRAP);
    unsigned traps = 0;

    for (const char *at = text && *text ? text : NULL; at;) {
        const size_t size = strcspn(at, ",");
        if (size == 5 && memcmp(at, "cpuid", size) == 0)
            traps |= EMU_TRAP_CPUID;
        else if (size == 5 && memcmp(at, "rdtsc", size) == 0)
            traps |= EMU_TRAP_RDTSC;
        else
            return error_code(err, EINVAL, TRAP " is \"%s\": a list of cpuid and rdtsc is expected",
                              text);
        at = at[size] ? at + size + 1 : NULL;
    }
    if ((traps & EMU_TRAP_RDTSC) && m->sgx2)
        return error_code(
            err, EINVAL,
            TRAP " has rdtsc, which a machine with SGX2 allows: it goes with " FEATURES "=sgx1");
    return traps ? emu_trap_setup(traps, err) : 0;
}

static int read_machine(struct sgx_machine *m, struct error *err)
{
    const char *features = secure_getenv(FEATURES), *epc = secure_getenv(EPC);

    *m = (struct sgx_machine){.emulated = true,
                              .sgx2 = true,
                              .kss = true,
                              .aex_notify = true,
                              .size_max = SIZE_LIMIT,
                              .epc = (uint64_t)sysconf(_SC_PHYS_PAGES) * SGX_PAGE_SIZE,
                              .backing = UINT64_MAX};
    int rc = features && *features ? parse_features(features, m, err) : 0;
    if (rc == 0 && epc && *epc)
        rc = parse_epc(epc, m, err);
    if (rc == 0)
        rc = set_isolation(err);
    return rc == 0 ? set_traps(m, err) : rc;
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
