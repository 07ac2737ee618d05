/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bound: what a deployment of this image may say (docs/design/policy-bound.md). The converter
 * makes it from JSON, the enclave file has it in measured read-only pages of its own
 * (enclave_layout.bound), the LibOS holds every deployment against it. Little-endian, no pointers.
 *
 *   struct bound_header, then members by rising number; a member is struct bound_member and its
 *   rules; a rule is struct bound_rule, its name and its value, padded with zero to 8.
 *
 * A member that is not there allows nothing. Texts are patterns: `*` is any bytes, `?` one byte,
 * `\` takes the next byte as it is (libos/lib/pattern.c).
 */
#pragma once

#include <stdint.h>

#define BOUND_MAGIC   0x31444e42454e5552ull /* "RUNEBND1" */
#define BOUND_VERSION 1u
#define BOUND_MAX     (1u << 20) /* bytes, header included */

struct bound_header {
    uint64_t magic;
    uint32_t version;
    uint32_t member_count;
    uint64_t size; /* whole blob, bytes */
};

/* Members, and what the value of one of their rules is. */
enum bound_member_number {
    BOUND_ARGS = 1, /* a command: struct bound_word and its pattern, for each word */
    BOUND_ENV,      /* name and value: patterns */
    BOUND_CWD,      /* pattern */
    BOUND_UID,      /* struct bound_range */
    BOUND_GID,
    BOUND_GROUPS,
    BOUND_CAPABILITIES, /* u64: at most these */
    BOUND_UMASK,        /* u64: at least these; absent: 022 */
    BOUND_MOUNTS,       /* struct bound_mount, then the target as it is; name: of a device */
    BOUND_HOSTNAME,     /* pattern */
    BOUND_DOMAINNAME,
    BOUND_RLIMITS,       /* struct bound_rlimit */
    BOUND_SYSCTLS,       /* as BOUND_ENV */
    BOUND_TERMINAL,      /* u64: BOUND_MAY */
    BOUND_READONLY_ROOT, /* u64: BOUND_MUST or BOUND_MUST_NOT; absent: either */
    BOUND_MASKED_PATHS,  /* pattern */
    BOUND_READONLY_PATHS,
    BOUND_EXEC,       /* as BOUND_ARGS; one rule of no words: any */
    BOUND_SIGNALS,    /* u64: bit n - 1 is signal n, at most these */
    BOUND_SIGNAL_ANY, /* u64: BOUND_MAY */
    BOUND_STDIN,
    BOUND_STDOUT,
    BOUND_LOOPBACK,     /* u64: BOUND_MAY be the host's */
    BOUND_NO_NEW_PRIVS, /* u64: BOUND_MUST; absent: either */
    BOUND_MEMBER_END,
};

#define BOUND_MUST_NOT 0u
#define BOUND_MUST     1u
#define BOUND_MAY      1u

struct bound_member {
    uint32_t number;
    uint32_t line; /* of the member in the JSON */
    uint32_t rule_count;
    uint32_t size; /* of its rules, bytes */
};

#define BOUND_OPTIONAL      (1u << 0) /* the deployment may leave out what this rule is for */
#define BOUND_WITH_TERMINAL (1u << 1) /* exec: the command may have a terminal */

struct bound_rule {
    uint32_t line;
    uint32_t flags;
    uint32_t name_size, value_size; /* bytes */
};

#define BOUND_WORD_REPEAT (1u << 0) /* the last of the arguments: any number of such, none too */
#define BOUND_WORD_ENV    (1u << 1) /* exec: no argument but NAME=value of its own */
#define BOUND_WORD_CWD    (1u << 2) /* exec: no argument but a directory */

struct bound_word {
    uint32_t size; /* bytes of the pattern that follows */
    uint32_t flags;
};

struct bound_range {
    uint32_t first, last;
};

#define BOUND_MOUNT_WRITE (1u << 0) /* what a host mount may be beyond read-only */
#define BOUND_MOUNT_EXEC  (1u << 1) /* MANIFEST_MOUNT_INSECURE_EXEC */
#define BOUND_MOUNT_LINKS (1u << 2) /* MANIFEST_MOUNT_INSECURE_LINKS */

struct bound_mount {
    uint32_t kind; /* enum manifest_mount_kind */
    uint32_t may;  /* BOUND_MOUNT_* */
    uint32_t mode; /* tmpfs: at most these bits for its root */
    uint32_t uid, gid;
    uint32_t reserved0;
};

struct bound_rlimit {
    uint32_t resource;
    uint32_t reserved0;
    uint64_t min, max; /* of soft and of hard */
};
