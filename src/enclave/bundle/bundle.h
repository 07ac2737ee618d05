/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "oci/config.h"

/*
 * Bundle conversion (docs/design/bundle.md): an ordinary root directory becomes a sealed image, a
 * system call site table and a signed enclave, kept in a cache. docs/design/bundle.md tells what is
 * in the cache and when an entry is used again.
 *
 *   <cache>/<image key>/image, sites, info.json
 *   <cache>/<image key>/enclave-<enclave key>/enclave, sigstruct, manifest.json
 */
#define BUNDLE_CACHE_DEFAULT "/var/lib/rune/images"
#define BUNDLE_KEY_DEFAULT   "/var/lib/rune/keys/signing-key.pem"
#define BUNDLE_HASH_SIZE     32ul
/* The image's own bound (docs/design/policy-bound.md). */
#define BUNDLE_BOUND_PATH "/.rune-bound.json"

/* What the enclave is to be, beside its image. Everything here is measured; zero takes the
 * default. */
struct bundle_settings {
    uint64_t enclave_size; /* ELRANGE, power of two */
    uint64_t memory_limit; /* bytes, 0: none */
    uint64_t cache_size;   /* verified block cache */
    /*
     * Without SGX2 all memory is in the enclave file: bytes of it for processes, and for the LibOS
     * itself. 0: three quarters and one quarter of memory_limit.
     */
    uint64_t preadded_user, preadded_heap;
    uint32_t thread_limit;
    uint32_t static_tcs;
    uint32_t log_level; /* the most the LibOS tells the host, 0 fatal .. 5 trace */
    uint16_t isv_prod_id, isv_svn;
    bool debug;  /* may have the DEBUG attribute, and the LibOS logs what programs do */
    bool no_kss; /* bind the deployment by deployment_hash in MRENCLAVE instead of CONFIGID */
    bool no_sgx2;
    bool aexnotify;        /* told of each AEX; runs only where the processor has AEX-Notify */
    bool signed_elsewhere; /* set by client_signing below */
    uint8_t deployment_hash[BUNDLE_HASH_SIZE]; /* with no_kss */
};

/*
 * A root directory that is only made when the cache has no image of it: `identity` is a hash of all
 * that will be in it. `make` fills the empty directory behind `dir`, and counts.
 */
struct bundle_tree {
    const char *name; /* for messages */
    uint8_t identity[BUNDLE_HASH_SIZE];
    int (*make)(void *ctx, int dir, uint64_t *entries, uint64_t *bytes, struct error *err);
    void *ctx;
};

/* A service that has the signing key (docs/signing-service.md). */
struct bundle_service {
    const char *url;               /* https://HOST[:PORT][/PATH] */
    const char *certificate, *key; /* the client's own, PEM files; NULL: none */
    const char *ca;                /* who vouches for the service, a PEM file; NULL: the system's */
    const char *signer;            /* the MRSIGNER that it is to have; NULL: any */
    const char *timeout;           /* seconds; NULL: 60 */
};

struct bundle_options {
    const char *rootfs;             /* directory to seal */
    const struct bundle_tree *tree; /* or this in its place */
    /* Of a user namespace: the image has owners as its programs see them. None: as they are. */
    struct oci_id_mappings uids, gids;
    const char *cache_dir; /* NULL: bundle_default_cache() */
    const char *libos;     /* LibOS ELF; NULL: the installed one */
    const char *key; /* RSA-3072 key with e = 3, made when missing; NULL: bundle_default_key() */
    const struct bundle_service *service; /* signs in place of `key`; NULL: none */
    const char *mkfs;                     /* NULL: mkfs.erofs from PATH, /usr/sbin, /sbin */
    const char *bound;   /* what deployments may say, JSON; NULL: the image's own, if it has one */
    bool client_signing; /* leave sigstruct to bundle_signature_import */
    bool image_only;     /* no enclave */
    struct bundle_settings settings;
    /* Told at the start of each step that takes time ("packing the root filesystem"); may be
     * NULL. */
    void (*progress)(void *ctx, const char *step);
    void *progress_ctx;
    /* Called before anything is made, or a key is asked, while no lock is held; need not return.
     * May be NULL. */
    void (*miss)(void);
};

struct bundle_result {
    char *image_dir;   /* entry of the cache */
    char *image;       /* sealed image */
    char *sites;       /* site table */
    char *enclave_dir; /* NULL with image_only */
    char *enclave;
    char *sigstruct; /* NULL with client_signing while there is no signature */
    char *manifest;  /* human-readable summary */
    uint8_t root_hash[BUNDLE_HASH_SIZE];
    uint8_t mrenclave[BUNDLE_HASH_SIZE];
    uint8_t mrsigner[BUNDLE_HASH_SIZE];
    uint8_t bound_hash[BUNDLE_HASH_SIZE]; /* SHA-256 of the bound as it is in the enclave */
    uint64_t data_size, image_size, site_count;
    bool bounded;       /* there is a bound */
    bool converted;     /* the image was packed by this call, not found */
    bool enclave_built; /* so was the enclave */
};
#define BUNDLE_RESULT_INIT \
    {                      \
        0                  \
    }
#define cleanup_bundle_result __attribute__((cleanup(bundle_result_release)))

/*
 * Convert, or find what an earlier call converted. Safe against other converters of the same image,
 * at once or killed half-way. An error is one line that says what to do; nothing is left behind
 * then.
 */
int bundle_convert(const struct bundle_options *options, struct bundle_result *result,
                   struct error *err);
void bundle_result_release(struct bundle_result *result);

/* Where images and the signing key are without an option: root's places, or an ordinary user's.
 * malloc'd. */
char *bundle_default_cache(void);
char *bundle_default_key(void);

/* One image of the cache. */
struct bundle_cache_item {
    const char *name;
    int64_t used; /* seconds since the epoch: last conversion that made or found it */
    uint64_t bytes;
    bool complete; /* else the remains of a killed converter, or damaged */
};
/* Call fn for each image; a negative return ends it and is passed on. */
int bundle_cache_list(const char *cache_dir,
                      int (*fn)(void *ctx, const struct bundle_cache_item *item, struct error *err),
                      void *ctx, struct error *err);
/*
 * Remove one image with its enclaves. 1: nothing was done, for a converter is at work on it or a
 * container runs from it.
 */
int bundle_cache_remove(const char *cache_dir, const char *name, struct error *err);
/*
 * Remove what was not used for `days`, and then what was used longest ago until the cache has no
 * more than `bytes`; 0: no such limit. What is in use stays, and counts.
 */
struct bundle_cache_trimmed {
    unsigned removed;
    uint64_t freed, left; /* bytes */
};
int bundle_cache_trim(const char *cache_dir, uint64_t bytes, uint32_t days,
                      struct bundle_cache_trimmed *out, struct error *err);
/*
 * Open an image and hold it: while the descriptor, or a duplicate in another process, is open, the
 * image is not removed from the cache. -ESTALE: it has just been; convert again.
 */
int bundle_image_hold(const char *image, struct error *err);

/* ---- deployment half of the manifest (abi/manifest.h) ---- */
struct bundle_rlimit {
    uint32_t resource;
    uint64_t soft, hard;
};
struct bundle_mount {
    uint32_t kind;  /* MANIFEST_MOUNT_* of the records */
    uint32_t flags; /* MANIFEST_MOUNT_READONLY ... */
    uint32_t index; /* of pal_init's mount_fds, for pass-through */
    uint32_t mode;
    uint64_t size;
    const char *target, *source, *options; /* NULL: "" */
};
/* What the host may do to the running enclave; all zero is the strictest. */
struct bundle_policy {
    uint32_t exec;      /* MANIFEST_EXEC_* */
    uint32_t flags;     /* MANIFEST_POLICY_* */
    uint64_t signals;   /* bit n - 1 is signal n */
    uint32_t log_level; /* 0 fatal .. 5 trace */
};
/* A command that MANIFEST_EXEC_LIST allows. */
struct bundle_text {
    const char *text;
    bool pattern;
};
struct bundle_command {
    struct bundle_text *args, *env, *cwd;
    size_t arg_count, env_count, cwd_count;
    bool terminal;
};
/* Variables that the host may give (struct manifest_host_variable). */
struct bundle_host_variable {
    const char *pattern;
    uint32_t value; /* enum manifest_host_value */
};
struct bundle_deployment {
    struct bundle_policy policy;
    const struct bundle_command *commands;
    size_t command_count;
    const char *const *args; /* NULL-terminated, as env and the others below; NULL: none */
    const char *const *env;
    const char *cwd, *hostname, *domainname; /* NULL: not given */
    uint32_t uid, gid, umask;
    const uint32_t *groups;
    size_t group_count;
    uint64_t capabilities; /* permitted and effective */
    uint64_t bounding, inheritable, ambient;
    const struct bundle_rlimit *rlimits;
    size_t rlimit_count;
    const struct bundle_mount *mounts;
    size_t mount_count;
    const char *const *sysctls; /* name=value */
    const char *const *masked_paths;
    const char *const *readonly_paths;
    bool terminal, readonly_root;
    const struct bundle_host_variable *host_variables;
    size_t host_variable_count;
    const char *ratls;         /* PORT:PORT, more after commas, of ratls-proxy; NULL: none */
    const char *ratls_clients; /* the policy for its clients; NULL: they prove nothing */
    bool host_names;           /* host name and domain name are the host's to give */
};
/* The given part: variables that the host fills in, in the order of their names; not measured. */
void bundle_given_build(const char *const *variables, struct buffer *blob);
/* The blob and its SHA-256 (the first 32 bytes of CONFIGID). The same input gives the same
 * bytes. */
int bundle_deployment_build(const struct bundle_deployment *deployment, struct buffer *blob,
                            uint8_t hash[BUNDLE_HASH_SIZE], struct error *err);

/* ---- signing off the machine (the `client` method) ---- */
/*
 * Write the signing material of a converted enclave: the SIGSTRUCT with everything but key and
 * signature, of which header and body (bytes 0..127 and 900..1027) are what is signed, RSA-3072
 * PKCS#1 v1.5 with SHA-256, e = 3.
 */
int bundle_signature_export(const char *enclave_dir, const char *out_path, struct error *err);
/* Complete it: `signature` is the raw 384 bytes, big endian, `public_key` a PEM file. Checked
 * before it is stored. */
int bundle_signature_import(const char *enclave_dir, const char *signature, const char *public_key,
                            struct error *err);

/* ---- sealed bundles: a converted image in a directory of its own ---- */
/*
 * Write what a conversion gave (image with its tree, site table, enclave, SIGSTRUCT and their
 * descriptions) to the new directory `path`, whole or not at all. Another machine starts from it
 * without converting. An enclave without a signature is refused.
 */
int bundle_sealed_write(const struct bundle_result *result, const char *path, struct error *err);

struct bundle_sealed {
    int enclave, sigstruct, image, sites; /* descriptors, the caller's (bundle_sealed_close) */
    uint8_t mrenclave[BUNDLE_HASH_SIZE];
    uint64_t enclave_size;
    bool kss, sgx2, aexnotify; /* what the enclave was built for */
    bool debug;                /* its signature allows the DEBUG attribute */
};
/*
 * Open one. What is checked: the files are there and of the recorded sizes, the signature is good
 * and of the enclave that the description names. MRENCLAVE is the processor's to check, the image
 * the LibOS's.
 */
int bundle_sealed_open(const char *path, struct bundle_sealed *out, struct error *err);

/* Check a sealed image file on the host, every block. 0, or an error that names the first bad
 * block. */
int bundle_image_verify(const char *image, const uint8_t root_hash[BUNDLE_HASH_SIZE],
                        struct error *err);
