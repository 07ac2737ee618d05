/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into libos-run (libos-run-unmap): a host that takes pages of the running programs away by
 * its page tables, at random, for moments. Each is a page fault that only the host makes. The
 * programs must not see it: no signal, no call that fails, the same output as ever.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layout.h"
#include "../../runtimes/libos/runtime.h"

#define RANGES 4096

struct range {
    uint64_t start, end;
};

/* Pages of processes that the host has accessible now. */
static size_t find_ranges(struct range *out)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    const uint64_t end = LAYOUT_LIBOS_BASE(LAYOUT_SIZE_DEFAULT);
    size_t count = 0;
    char line[512];

    while (maps && count < RANGES && fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char access;
        if (sscanf(line, "%lx-%lx %c", &from, &to, &access) != 3 || from >= end)
            break;
        if (access == 'r')
            out[count++] = (struct range){from, to};
    }
    if (maps)
        fclose(maps);
    return count;
}

static void *take_pages(void *unused)
{
    static struct range ranges[RANGES];
    const char *report = getenv("UNMAP_REPORT");
    struct error err = ERROR_INIT;
    unsigned seed = 1;

    while (!__atomic_load_n(&g_runtime.ready, __ATOMIC_ACQUIRE))
        usleep(1000);
    const struct sgx_enclave *e = g_runtime.enclave;
    for (unsigned long taken = 0;; taken++) {
        size_t count = find_ranges(ranges);
        for (unsigned i = 0; i < 16 && count > 0; i++) {
            const struct range *r = &ranges[(size_t)rand_r(&seed) % count];
            const uint64_t pages = (r->end - r->start) / LAYOUT_PAGE;
            const uint64_t page = r->start + (uint64_t)rand_r(&seed) % pages * LAYOUT_PAGE;
            e->driver->map(e->handle, page, LAYOUT_PAGE, PROT_NONE, &err);
            usleep((unsigned)rand_r(&seed) % 200);
            e->driver->map(e->handle, page, LAYOUT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, &err);
        }
        if (report && taken % 64 == 0) {
            struct pal_stats_v4 s = {.size = sizeof(s)};
            pal_get_stats(&s);
            fprintf(stderr, "unmap: %lu pages taken, %lu exits by exceptions\n", taken * 16,
                    (unsigned long)s.aex);
        }
    }
    return NULL;
}

__attribute__((constructor)) static void start(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, take_pages, NULL) != 0)
        abort();
    pthread_detach(thread);
}
