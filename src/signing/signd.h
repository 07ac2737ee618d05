/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rune-signd, the reference signing service (docs/signing-service.md). It builds each enclave that
 * it signs by itself, so that it need not believe what a client says of it.
 *
 *     settings.c   the configuration file
 *     allow.c      the list of images that are signed
 *     decide.c     a request: checked, built, signed
 *     audit.c      a line for each request
 *     server.c     HTTPS with client certificates
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "base/buffer.h"
#include "base/error.h"
#include "enclave/bundle/service.h"

struct signd_settings {
    char *listen, *certificate, *certificate_key, *client_ca, *client_crl;
    char *signing_key, *libos, *allow, *audit;
    uint16_t isv_prod_id, isv_svn; /* of entries that have none */
    unsigned timeout;              /* seconds that a connection may last */
};
int signd_settings_read(const char *path, struct signd_settings *out, struct error *err);
void signd_settings_release(struct signd_settings *settings);

/* What the list says of one image. */
struct signd_image {
    char *name;
    uint8_t root_hash[BUNDLE_HASH_SIZE], sites_hash[BUNDLE_HASH_SIZE];
    uint8_t bound_hash[BUNDLE_HASH_SIZE]; /* with bounded */
    uint64_t data_size;
    uint16_t isv_prod_id, isv_svn;
    bool bounded, insecure_debug;
};
struct signd_images {
    struct signd_image *items;
    size_t count;
};
/* Read anew for each request, so that it may change while the service runs. */
int signd_images_read(const struct signd_settings *settings, struct signd_images *out,
                      struct error *err);
/* The entry that allows the request; NULL with err says what is against it. */
const struct signd_image *signd_images_find(const struct signd_images *images,
                                            const struct signing_request *request,
                                            struct error *err);
void signd_images_release(struct signd_images *images);

struct signd {
    const struct signd_settings *settings;
    struct signing_programs programs;
};

/* One request, on its way to a line of the audit log. */
struct signd_case {
    X509 *client; /* verified; borrowed */
    const char *address;
    int status; /* of HTTP */
    char *image;
    bool identified, built;
    uint8_t root_hash[BUNDLE_HASH_SIZE], mrenclave[BUNDLE_HASH_SIZE];
};
/* The SIGSTRUCT, or negative with what the client is told; c->status in either case. */
int signd_decide(const struct signd *signd, const char *text, size_t size, struct signd_case *c,
                 struct sgx_sigstruct *out, struct error *err);
void signd_case_release(struct signd_case *c);

/* reason: NULL when it was signed. */
int signd_audit(const char *path, const struct signd_case *c, const char *reason,
                struct error *err);

/* Serves until SIGTERM or SIGINT. */
int signd_serve(const struct signd *signd, struct error *err);
