/* SPDX-License-Identifier: Apache-2.0 */
/* A request to the signing service, as a client may write it. What was read is written and read
 * again, and says the same. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bound.h"
#include "enclave/bundle/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_buffer struct buffer text = BUFFER_INIT, second = BUFFER_INIT;
    struct signing_request request, again;
    int ret = signing_request_read((const char *)data, size, &request, &err);
    if (ret < 0) {
        must(error_text(&err)[0] && !strchr(error_text(&err), '\n'));
    } else {
        must(request.bound.size <= BOUND_MAX && request.data_size > 0 &&
             request.data_size % 4096 == 0 && request.salt_size == BUNDLE_HASH_SIZE);
        signing_request_write(&request, &text);
        must(signing_request_read(text.data, text.size, &again, NULL) == 0);
        signing_request_write(&again, &second);
        must(strcmp(text.data, second.data) == 0);
        signing_request_release(&again);
    }
    signing_request_release(&request);
    return 0;
}
