/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that looks: preloaded into libos-run, a thread reads the LibOS's memory again and again,
 * which an isolated emulator (RUNE_SGX_EMULATOR_ISOLATE) answers with the end of the process.
 */
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIBOS_BASE 0xc00000000ull /* of an ELRANGE of 64 GiB (abi/layout.h) */

static void *look(void *arg)
{
    unsigned char there;

    for (;;) {
        usleep(1000);
        if (mincore((void *)LIBOS_BASE, 4096, &there) == 0 && (there & 1)) /* it is loaded */
            (void)*(volatile uint64_t *)LIBOS_BASE;
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, look, NULL);
}
