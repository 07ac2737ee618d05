/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gramine as an enclave runtime: what rune prepares on the host for a container of
 * runtimes/gramine, and where both of them look for an installed Gramine.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "enclave/enclave.h"

/* Where the container has sgx-emulate, when its enclave is emulated. */
#define GRAMINE_EMULATOR "/run/rune-sgx-emulate"
/* Where it has the libraries of the node's Gramine. */
#define GRAMINE_LIBRARIES "/run/rune-gramine"
/* Where it has the manifest that was made for an ordinary image. */
#define GRAMINE_APPLICATION "/run/rune-gramine-application"

/* Where Gramine's tool for images (GSC) puts its own Gramine, and the application. */
#define GRAMINE_GSC_PREFIX      "/gramine/meson_build_output"
#define GRAMINE_GSC_APPLICATION "/gramine/app_files/entrypoint"
#define GRAMINE_MANIFEST        ".manifest.sgx"

/* Prefix of the node's Gramine: the variable RUNE_GRAMINE, else /usr. */
const char *gramine_prefix(void);
/* The directory `gramine` of an installation below `prefix`, with sgx/loader in it. malloc'd; NULL:
 * there is none. */
char *gramine_directory(const char *prefix);

/* Is this PAL library runtimes/gramine? */
bool gramine_is_runtime(const char *library);
/*
 * Make config.json and *args (what pal_init is given) ready for a Gramine container. An image that
 * brings no manifest is converted, as gramine-convert.py says. The mounts, read-only: the node's
 * Gramine at its own path, for manifests name its files by that; the libraries of its loader;
 * sgx-emulate where type is "simulatedSgx". An image without glibc is given the node's, for the
 * loader's use.
 */
int gramine_prepare(const struct enclave_request *request, const struct oci_config *config,
                    const char *rootfs, const char *type, char **args, struct error *err);
