/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz target of threads under a lying host as a test: each lie alone, then seeded plans. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CREATE_KINDS 7
#define PLANS        300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
unsigned fuzz_thread_lies(void);

int main(void)
{
    static uint8_t plan[256];

    for (uint8_t lie = 0; lie < CREATE_KINDS; lie++)
        LLVMFuzzerTestOneInput(&lie, 1);
    srandom(20260917);
    for (int i = 0; i < PLANS; i++) {
        size_t n = 1 + (size_t)random() % sizeof(plan);

        for (size_t k = 0; k < n; k++)
            plan[k] = (uint8_t)random();
        LLVMFuzzerTestOneInput(plan, n);
    }
    if (fuzz_thread_lies() < 1000) {
        printf("the host lied only %u times\n", fuzz_thread_lies());
        return 1;
    }
    return 0;
}
