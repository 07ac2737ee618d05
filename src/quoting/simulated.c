/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>

#include "attest/simulation.h"
#include "quoting/quoting.h"
#include "sgx/emulated.h"

__attribute__((visibility("default"))) const struct quoting_simulation *quoting_simulation(
    struct error *err)
{
    static const struct quoting_simulation simulation = {.import_root = sgx_emulated_root_import,
                                                         .open = simulation_open,
                                                         .close = simulation_free,
                                                         .target_info = simulation_target_info,
                                                         .quote = simulation_quote,
                                                         .sign = simulation_sign};
    (void)err;
    /* In a container its configuration file is the image's, and may name libraries to load. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    return &simulation;
}
