/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rune-doctor: is this node fit for enclave containers, and if not, what is the first thing to do?
 * "rune doctor" runs it. Each check looks at one thing, changes nothing, and answers in words.
 *
 *     sgx.c       processor, firmware, kernel, devices
 *     services.c  aesmd, PCCS
 *     node.c      cgroups, packer, installation, engines, configuration, cache, key
 *     doctor.c    the order, the answer, the exit status
 */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sgx/info.h"

/* By rising weight: the worst decides the exit status. */
enum severity {
    DOCTOR_OK,
    DOCTOR_SKIPPED, /* nothing to check here; the text says why */
    DOCTOR_WARNING, /* enclaves start, with less than they could have */
    DOCTOR_FAULT,   /* enclaves do not start, or not on SGX */
};

struct finding {
    enum severity severity;
    char *text;   /* what is */
    char *remedy; /* what to do; NULL where nothing is to be done */
};

struct node {
    const char *root; /* where /proc, /dev, /etc ... are; "" but in tests */
    struct sgx_info sgx;
    bool hardware; /* the processor has SGX, and it is switched on */
    bool emulator; /* node.json allows the software SGX */
};

/* "%s" of text and remedy, malloc'd; remedy may be NULL. */
void find(struct finding *out, enum severity severity, char *text, char *remedy);
/* root + path, malloc'd. */
char *node_file(const struct node *node, const char *path);
/* Its text, of at most 1 MiB; false for what is not there, or is no regular file. */
bool node_read(const struct node *node, const char *path, struct buffer *out);

void check_processor(const struct node *node, struct finding *out);
void check_features(const struct node *node, struct finding *out);
void check_epc(const struct node *node, struct finding *out);
void check_defences(const struct node *node, struct finding *out);
void check_kernel(const struct node *node, struct finding *out);
void check_devices(const struct node *node, struct finding *out);
void check_provisioning(const struct node *node, struct finding *out);
void check_aesmd(const struct node *node, struct finding *out);
void check_pccs(const struct node *node, struct finding *out);
void check_software_sgx(const struct node *node, struct finding *out);
void check_installation(const struct node *node, struct finding *out);
void check_packer(const struct node *node, struct finding *out);
void check_cgroups(const struct node *node, struct finding *out);
void check_engines(const struct node *node, struct finding *out);
void check_cache(const struct node *node, struct finding *out);
void check_key(const struct node *node, struct finding *out);
