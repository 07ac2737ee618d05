/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave manifest (docs/design/bundle.md) and the tables that travel with a sealed image.
 * Little-endian, fixed layout, read by the bundle converter, by verifiers and by the LibOS. Nothing
 * here holds a pointer.
 *
 *   image half       one measured page (struct manifest_image): identifies LibOS + image in
 *                    MRENCLAVE
 *   deployment half  a TLV blob; its SHA-256 is the first 32 bytes of CONFIGID, the rest of
 *                    CONFIGID is zero
 *   site table       where `syscall` instructions of the image may be replaced; its SHA-256 is in
 *                    the image half
 */
#pragma once

#include <stdint.h>

#define MANIFEST_IMAGE_MAGIC 0x31474d49454e5552ull /* "RUNEIMG1" */
#define MANIFEST_VERSION     1u
#define MANIFEST_HASH_SIZE   32u
#define MANIFEST_SALT_MAX    32u
#define MANIFEST_BLOCK_SIZE  4096u

/* manifest_image.flags */
#define MANIFEST_DEBUG \
    (1u << 0) /* the enclave may be a debug enclave; logs may carry application data */
#define MANIFEST_KSS \
    (1u << 2) /* deployment half is bound by CONFIGID; else by deployment_hash below */
#define MANIFEST_SIGNED_ELSEWHERE \
    (1u << 3) /* the signing key is not on the machine: keys by MRSIGNER are the signer's alone */
#define MANIFEST_AEXNOTIFY \
    (1u << 4) /* ATTRIBUTES.AEXNOTIFY, and its TCS are made for it: the LibOS is told of each AEX */

/* One page at enclave_layout.manifest; unused bytes are zero. */
struct manifest_image {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;

    /* Sealed root: EROFS image of data_blocks blocks, then its dm-verity hash tree (veritysetup
     * format 1, SHA-256, 4 KiB blocks, superblock at hash_offset, tree in the next block). */
    uint8_t root_hash[MANIFEST_HASH_SIZE];
    uint8_t salt[MANIFEST_SALT_MAX];
    uint32_t salt_size;
    uint32_t hash_levels;
    uint64_t data_blocks;
    uint64_t hash_offset; /* bytes from the start of the image file to the verity superblock */
    uint64_t image_size;  /* bytes, data and tree */

    uint8_t sites_hash[MANIFEST_HASH_SIZE]; /* SHA-256 of the site table; zero when there is none */
    uint64_t sites_size;

    uint8_t deployment_hash[MANIFEST_HASH_SIZE]; /* only without KSS, else zero */

    uint64_t memory_limit; /* bytes the LibOS may commit, 0: no limit but ELRANGE */
    uint32_t thread_limit; /* 0: no limit but memory */
    uint32_t static_tcs;   /* TCS pages in the enclave file */
    uint64_t cache_size;   /* verified block cache, bytes; 0: the default */
    uint32_t log_level;    /* 0 fatal .. 5 trace: the most the LibOS may tell the host */
    uint32_t reserved0;

    /* The project's own program for MANIFEST_RATLS, behind the image; zero when there is none. */
    uint8_t proxy_hash[MANIFEST_HASH_SIZE]; /* SHA-256 */
    uint64_t proxy_size;
};
#define MANIFEST_PROXY_MAX (64u << 20)
_Static_assert(sizeof(struct manifest_image) <= 4096, "the image half is one page");

/*
 * Deployment half: struct manifest_deployment_header, then records. A record is struct
 * manifest_record and `size` bytes of value, padded with zero to 8. Strings are not NUL-terminated;
 * a record with an unknown type is an error (the verifier pinned something that we would ignore).
 */
#define MANIFEST_DEPLOYMENT_MAGIC 0x314c5044454e5552ull /* "RUNEDPL1" */
#define MANIFEST_DEPLOYMENT_MAX   (4u << 20)

struct manifest_deployment_header {
    uint64_t magic;
    uint32_t version;
    uint32_t record_count;
    uint64_t size; /* whole blob, bytes */
};

enum manifest_record_type {
    MANIFEST_ARG = 1, /* one of process.args, in order */
    MANIFEST_ENV = 2, /* NAME=value, in order */
    MANIFEST_CWD = 3,
    MANIFEST_USER = 4, /* struct manifest_user, then group_count u32 */
    MANIFEST_HOSTNAME = 5,
    MANIFEST_MOUNT =
        6, /* struct manifest_mount, then target, source, options (NUL-free, sizes given) */
    MANIFEST_RLIMIT = 7,   /* struct manifest_rlimit */
    MANIFEST_TERMINAL = 8, /* u32, 1: process.terminal */
    MANIFEST_DOMAINNAME = 9,
    MANIFEST_SYSCTL = 10,        /* name=value */
    MANIFEST_READONLY_ROOT = 11, /* u32 */
    MANIFEST_MASKED_PATH = 12,
    MANIFEST_READONLY_PATH = 13,
    MANIFEST_POLICY = 14,  /* struct manifest_policy: exactly once */
    MANIFEST_COMMAND = 15, /* struct manifest_command: one that MANIFEST_EXEC_LIST allows */
    MANIFEST_HOST_VARIABLE =
        16, /* struct manifest_host_variable, then a pattern: variables that the host may give */
    MANIFEST_HOST_NAMES = 17,    /* u32, 1: host name and domain name are the host's to give */
    MANIFEST_RATLS = 18,         /* PORT:PORT, more after commas: ratls-proxy stands there */
    MANIFEST_RATLS_CLIENTS = 19, /* JSON (docs/attest-policy.md): what its clients must prove */
    MANIFEST_RECORD_END,         /* the first number that means nothing */
};

struct manifest_record {
    uint32_t type;
    uint32_t size; /* bytes of the value, without padding */
};

struct manifest_user {
    uint32_t uid, gid, umask, group_count;
    uint64_t capabilities; /* permitted and effective, bit n is CAP_n */
    uint64_t bounding, inheritable, ambient;
};

/*
 * What the host may do to the enclave while it runs (docs/enclave.md, "What the operator may do").
 * All zero is the strictest. The LibOS enforces it; the host half only words a refusal.
 */
enum manifest_exec_kind {
    MANIFEST_EXEC_NONE = 0, /* no process is started from outside but the first */
    MANIFEST_EXEC_ANY = 1,  /* insecure: any program, and with it all that is in the enclave */
    MANIFEST_EXEC_LIST = 2, /* the MANIFEST_COMMAND records, of which there is at least one */
};

/* manifest_policy.flags */
#define MANIFEST_POLICY_STDOUT (1u << 0) /* standard output and error of programs go to the host */
#define MANIFEST_POLICY_STDIN  (1u << 1) /* standard input comes from the host */
#define MANIFEST_POLICY_SIGNAL_ANY_PROCESS \
    (1u << 2) /* signals go to any process, not to process 1 and those of exec only */
#define MANIFEST_POLICY_LOOPBACK_HOST (1u << 3) /* insecure: 127.0.0.0/8 and ::1 are the host's */
#define MANIFEST_POLICY_NO_NEW_PRIVS  (1u << 4) /* process.noNewPrivileges, for exec as well */
#define MANIFEST_POLICY_FLAGS         31u

/* Bit n - 1 is signal n. What a fault of the program itself raises (ILL TRAP BUS FPE SEGV SYS) is
 * never the host's to send. */
#define MANIFEST_SIGNALS_NEVER 0x400004d8ull

/* What a builder lists when nothing else is said: TERM INT HUP QUIT WINCH USR1 USR2, and KILL STOP
 * CONT, which go to all processes at once. */
#define MANIFEST_SIGNALS_DEFAULT 0x8064b07ull

struct manifest_policy {
    uint32_t exec; /* enum manifest_exec_kind */
    uint32_t flags;
    uint64_t signals;   /* bit n - 1: the host may send signal n */
    uint32_t log_level; /* the most the LibOS tells the host; the image half's bounds it too */
    uint32_t reserved0;
};

/*
 * A command that the host may start: as the container's user, in its directory and with its
 * environment, but for what the record names. The counted texts follow, arguments first: struct
 * manifest_text and its bytes, one after the other without padding. An argument list matches when
 * it has as many arguments and each matches; an environment text names one NAME=value, a directory
 * text an absolute path.
 *
 * A pattern is matched against one whole text: '*' is any bytes, '?' one byte, '\' takes the next
 * byte as it is (libos/lib/pattern.c). A text with ".." as a name of its path matches no pattern.
 */
#define MANIFEST_COMMAND_TERMINAL (1u << 0) /* may have a terminal, and then sets TERM */
#define MANIFEST_TEXT_PATTERN     (1u << 0)

struct manifest_command {
    uint32_t flags;
    uint32_t arg_count, env_count, cwd_count;
};
struct manifest_text {
    uint32_t flags;
    uint32_t size;
};

enum manifest_mount_kind {
    MANIFEST_MOUNT_TMPFS = 1, /* in the enclave */
    MANIFEST_MOUNT_PROC = 2,
    MANIFEST_MOUNT_DEV = 3, /* the LibOS's own /dev */
    MANIFEST_MOUNT_DEVPTS = 4,
    MANIFEST_MOUNT_SYSFS = 5,
    MANIFEST_MOUNT_PASSTHROUGH =
        6, /* host files: untrusted, index counts such mounts (pal_init mount_fds) */
    MANIFEST_MOUNT_ENCRYPTED = 7,
    MANIFEST_MOUNT_MQUEUE = 8,
    MANIFEST_MOUNT_CGROUP = 9,
    MANIFEST_MOUNT_DEVICE = 10, /* a device of the LibOS's own /dev, which `source` names */
};

#define MANIFEST_MOUNT_READONLY (1u << 0)
#define MANIFEST_MOUNT_NOEXEC   (1u << 1)
#define MANIFEST_MOUNT_NOSUID   (1u << 2)
#define MANIFEST_MOUNT_NODEV    (1u << 3)
#define MANIFEST_MOUNT_IS_FILE  (1u << 4) /* the pass-through source is not a directory */
/* Of pass-through mounts, which without them run no programs and have links that stay inside. */
#define MANIFEST_MOUNT_INSECURE_EXEC  (1u << 5) /* the host's programs run in the enclave */
#define MANIFEST_MOUNT_INSECURE_LINKS (1u << 6) /* the host's links lead anywhere, as Linux's do */
#define MANIFEST_MOUNT_FLAGS          127u

struct manifest_mount {
    uint32_t kind;
    uint32_t flags;
    uint32_t index;
    uint32_t mode; /* tmpfs root mode */
    uint64_t size; /* tmpfs limit, 0: none */
    uint32_t target_size, source_size, options_size;
    uint32_t reserved0;
};

/*
 * What the host fills in (docs/design/identity.md). A rule allows variables whose name matches its
 * pattern ('*' and '?' among letters, digits and '_') and whose value has its form
 * (abi/host_value.h). The given part is a struct manifest_deployment_header with a magic of its own
 * and MANIFEST_ENV records in the order of their names, each name once. It is not measured.
 */
#define MANIFEST_GIVEN_MAGIC 0x31564947454e5552ull /* "RUNEGIV1" */
#define MANIFEST_GIVEN_MAX   (4u << 20)

enum manifest_host_value {
    MANIFEST_VALUE_ANY = 0,
    MANIFEST_VALUE_NAME = 1,     /* a host name */
    MANIFEST_VALUE_ADDRESS = 2,  /* IPv4 or IPv6 */
    MANIFEST_VALUE_PORT = 3,     /* a number of at most five digits */
    MANIFEST_VALUE_PROTOCOL = 4, /* tcp, udp or sctp */
    MANIFEST_VALUE_URL = 5,      /* protocol://address:port */
    MANIFEST_VALUE_END,
};
struct manifest_host_variable {
    uint32_t value; /* enum manifest_host_value */
    uint32_t reserved0;
};

struct manifest_rlimit {
    uint32_t resource; /* RLIMIT_* */
    uint32_t reserved0;
    uint64_t soft, hard;
};

/*
 * Site table: header, file_count files sorted by nid, then sites. Each file's sites are sorted by
 * offset. A site is a window of `length` (5..32) bytes at `offset` in the file that holds exactly
 * one `syscall` instruction; the LibOS may put a 5-byte jmp at the window's start. The instructions
 * before the `syscall` (before_size bytes) and those after it inside the window (after_size bytes)
 * are position independent, and are copied into a trampoline around the call:
 *     before; lea rcx, [rip of the byte after the syscall]; enter the LibOS; after; jmp window end
 * Bytes of the window beyond the first five stay as they are. No direct branch of the file goes to
 * the bytes 1..4 of the window.
 */
#define SITES_MAGIC 0x31534554454e5552ull /* "RUNETES1" */

struct sites_header {
    uint64_t magic;
    uint32_t version;
    uint32_t file_count;
    uint64_t site_count;
    uint64_t size; /* whole table, bytes */
};

struct sites_file {
    uint64_t nid;        /* EROFS inode */
    uint32_t first_site; /* index */
    uint32_t site_count;
};

struct sites_entry {
    uint32_t offset; /* of the window in the file, bytes */
    uint8_t length;
    uint8_t before_size;
    uint8_t after_size;
    uint8_t reserved0;
};
