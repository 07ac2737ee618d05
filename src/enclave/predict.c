/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/predict.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/deployment.h"
#include "enclave/enclave.h"

static int build(const struct enclave_request *request, const char *rootfs,
                 struct oci_config **config, struct buffer *blob, uint8_t hash[BUNDLE_HASH_SIZE],
                 struct error *err)
{
    cleanup_policy struct policy policy = {0};
    cleanup_deployment struct deployment deployment = {0};

    /* The steps of launch.c and convert.c. */
    int rc = enclave_adapt_config(request, rootfs, config, err);
    if (rc == 0)
        rc = policy_read(&request->policy, request->build.mode, &(*config)->process, &policy, err);
    if (rc == 0)
        rc = deployment_from_config(*config, &policy, request->build.mounts, &deployment, err);
    return rc < 0 ? rc : bundle_deployment_build(&deployment.manifest, blob, hash, err);
}

int enclave_predict(const char *bundle, struct buffer *blob, uint8_t hash[BUNDLE_HASH_SIZE],
                    struct error *err)
{
    cleanup_config struct oci_config *config = NULL;
    cleanup_enclave_request struct enclave_request request = {0};
    cleanup_free char *rootfs = NULL;

    int rc = oci_config_load(bundle, &config, err);
    if (rc == 0)
        rc = enclave_request_read(config, true, &request, err);
    if (rc < 0)
        return error_wrap(err, "%s", bundle);
    if (rc == 0 || !request.builtin)
        return error_set(err, "%s: not an enclave container of the built-in LibOS", bundle);
    rootfs = config->root_path[0] == '/' ? xstrdup(config->root_path)
                                         : path_join(bundle, config->root_path);
    rc = build(&request, rootfs, &config, blob, hash, err);
    return rc < 0 ? error_wrap(err, "%s", bundle) : 0;
}
