/* SPDX-License-Identifier: Apache-2.0 */
/* What ratls-server, ratls-client and ratls-proxy have in common: who proves, who demands. */
#pragma once

#include "base/error.h"
#include "ratls.h"

/* What the options say. */
struct ratls_settings {
    const char *collateral, *policy; /* of the demand */
    const char *pccs, *cache;
    const char *simulation_root;
    const char *embed; /* directory of collateral for one's own certificate */
    bool allow_simulation, quiet;
    bool gramine; /* the older form as well */
};
extern struct ratls_settings g_ratls;

/* Both live until the program ends. `fetch` may be NULL, where there is no network. */
int ratls_open_demand(struct ratls_demand *out,
                      struct attest_collateral *(*fetch)(void *context, const void *quote,
                                                         size_t size, int64_t now, char **error),
                      struct error *err);
int ratls_open_prover(struct ratls_prover **out, struct error *err);
/* What a library function said, as an error of ours. */
int ratls_take_text(char *text, struct error *err);
