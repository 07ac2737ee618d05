/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that looks: preloaded into libos-run, a thread reads the LibOS's memory again and again,
 * which an isolated emulator (RUNE_SGX_EMULATOR_ISOLATE) answers with the end of the process.
 */
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../abi/layout.h"

static void *look(void *arg)
{
    unsigned char there;

    for (uint64_t size = LAYOUT_SIZE_DEFAULT;;
         size = size > 1ull << 30 ? size / 2 : LAYOUT_SIZE_DEFAULT) {
        const uint64_t base = LAYOUT_LIBOS_BASE(size);
        usleep(1000);
        if (mincore((void *)base, 4096, &there) == 0 && (there & 1)) /* it is loaded */
            (void)*(volatile uint64_t *)base;
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, look, NULL);
}
