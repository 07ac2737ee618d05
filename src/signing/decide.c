/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "base/log.h"
#include "sgx/sigstruct.h"
#include "signing/signd.h"

/* The client is told that something is wrong here, and the log what. */
static int own_problem(struct signd_case *c, struct error *err)
{
    log_error("%s", error_text(err));
    c->status = 500;
    return error_set(err, "the signing service has a problem of its own: see its log");
}

/* Why would two sides build another enclave? Their LibOS differs, most likely. */
static int same_programs(const struct signing_programs *programs,
                         const struct signing_request *request, struct error *err)
{
    char here[2 * BUNDLE_HASH_SIZE + 1], there[2 * BUNDLE_HASH_SIZE + 1];
    const struct {
        const char *name;
        const uint8_t *here, *there;
    } files[] = {{"LibOS", programs->libos_hash, request->libos_hash},
                 {"ratls-proxy", programs->proxy_hash, request->proxy_hash}};
    for (size_t i = 0; i < array_count(files); i++)
        if (memcmp(files[i].here, files[i].there, BUNDLE_HASH_SIZE) != 0)
            return error_set(err,
                             "the enclave has %s %s, and this service signs %s: install the same "
                             "version of rune on both sides",
                             files[i].name, hex_format(there, files[i].there, BUNDLE_HASH_SIZE),
                             hex_format(here, files[i].here, BUNDLE_HASH_SIZE));
    return 0;
}

static int rebuild(const struct signd *signd, const struct signing_request *request,
                   struct signd_case *c, struct sgx_sigstruct *out, struct error *err)
{
    c->status = 409;
    if (same_programs(&signd->programs, request, err) < 0)
        return -1;
    c->status = 400;
    if (signing_rebuild(&signd->programs, request, out, err) < 0)
        return -1;
    c->status = 409;
    memcpy(c->mrenclave, out->mrenclave, sizeof(c->mrenclave));
    c->built = true;
    if (memcmp(out->mrenclave, request->mrenclave, sizeof(out->mrenclave)) == 0)
        return 0;
    char here[2 * BUNDLE_HASH_SIZE + 1], there[2 * BUNDLE_HASH_SIZE + 1];
    return error_set(err, "this service builds MRENCLAVE %s from the request, and not %s",
                     hex_format(here, out->mrenclave, BUNDLE_HASH_SIZE),
                     hex_format(there, request->mrenclave, BUNDLE_HASH_SIZE));
}

static int sign(const struct signd *signd, const struct signd_image *image, struct signd_case *c,
                struct sgx_sigstruct *out, struct error *err)
{
    out->isv_prod_id = image->isv_prod_id;
    out->isv_svn = image->isv_svn;
    if (sgx_sigstruct_sign(out, signd->settings->signing_key, err) < 0 ||
        sgx_sigstruct_check(out, err) < 0)
        return own_problem(c, err);
    c->status = 200;
    return 0;
}

static int decide(const struct signd *signd, const struct signing_request *request,
                  struct signd_case *c, struct signd_images *images, struct sgx_sigstruct *out,
                  struct error *err)
{
    memcpy(c->root_hash, request->root_hash, sizeof(c->root_hash));
    c->identified = true;
    if (signd_images_read(signd->settings, images, err) < 0)
        return own_problem(c, err);
    c->status = 403;
    const struct signd_image *image = signd_images_find(images, request, err);
    if (!image)
        return -1;
    c->image = xstrdup(image->name);
    if (rebuild(signd, request, c, out, err) < 0)
        return -1;
    return sign(signd, image, c, out, err);
}

int signd_decide(const struct signd *signd, const char *text, size_t size, struct signd_case *c,
                 struct sgx_sigstruct *out, struct error *err)
{
    struct signing_request request;
    struct signd_images images = {0};
    c->status = 400;
    int ret = signing_request_read(text, size, &request, err);
    if (ret == 0)
        ret = decide(signd, &request, c, &images, out, err);
    signd_images_release(&images);
    signing_request_release(&request);
    return ret;
}

void signd_case_release(struct signd_case *c)
{
    free(c->image);
}
