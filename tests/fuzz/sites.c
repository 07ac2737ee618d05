/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a program: the site scanner's windows lie in it, in order, apart, around a
 * syscall. */
#include <stdlib.h>

#include "enclave/bundle/sites.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sites_list list;
    if (sites_scan(data, size, &list) < 0)
        return 0;
    uint64_t end = 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct sites_entry *s = &list.sites[i];
        if (s->offset < end || s->offset + (uint64_t)s->length > size || s->length < 5 ||
            s->length > 32 || s->before_size + 2 + s->after_size != s->length ||
            data[s->offset + s->before_size] != 0x0f || data[s->offset + s->before_size + 1] != 5)
            abort();
        end = s->offset + (uint64_t)s->length;
    }
    sites_list_release(&list);
    return 0;
}
