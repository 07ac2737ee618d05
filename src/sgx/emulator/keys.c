/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EREPORT and EGETKEY. Keys are HMAC-SHA256 of the machine's emulated root secret over the SDM's
 * "key dependencies", cut to 16 bytes; the MAC of a report is AES-CMAC, as in hardware.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nettle/cmac.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>

#include "../../../abi/sgx_emulated.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "sgx/emulated.h"
#include "sgx/emulator/emulator.h"

#define ROOT_DIR    "/var/lib/rune/sgx-emulator"
#define ROOT_NAME   "root-key"
#define FLAG_ZF     0x40u
#define FLAGS_ARITH 0x8d5u

static const uint8_t g_cpu_svn[16] = SGX_EMULATED_CPUSVN;

/* SDM: every field that a key may depend on; those that it does not are zero */
struct key_dependencies {
    char domain[8];
    uint16_t key_name, key_policy, isv_prod_id, isv_svn;
    uint16_t config_svn;
    uint8_t reserved[6];
    uint8_t cpu_svn[16];
    struct sgx_attributes attributes, attribute_mask;
    uint8_t mrenclave[32], mrsigner[32];
    uint8_t key_id[32];
    uint32_t miscselect, misc_mask;
    uint8_t config_id[64];
    uint8_t isv_ext_prod_id[16], isv_family_id[16];
};

/* ---- the root ---- */

static int make_root(int dir, struct error *err)
{
    char temporary[64];
    uint8_t secret[32];

    if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
        return error_errno(err, errno, "make the emulated SGX root key");
    if (snprintf(temporary, sizeof(temporary), ".%s.%d", ROOT_NAME, (int)gettid()) < 0)
        return error_set(err, "make the emulated SGX root key");
    cleanup_close int fd = openat(dir, temporary,
                                  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, errno, "make the emulated SGX root key");
    int rc = write_all(fd, secret, sizeof(secret));
    /* Of two processes that start together, one makes the key and the other reads it. */
    if (rc == 0 && linkat(dir, temporary, dir, ROOT_NAME, 0) < 0 && errno != EEXIST)
        rc = -errno;
    unlinkat(dir, temporary, 0);
    explicit_bzero(secret, sizeof(secret));
    return rc < 0 ? error_errno(err, -rc, "make the emulated SGX root key") : 0;
}

static int open_root_dir(const char *path, struct error *err)
{
    char parent[4096];

    for (const char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        if ((size_t)(at - path) >= sizeof(parent))
            return error_errno(err, ENAMETOOLONG, "%s", path);
        memcpy(parent, path, at - path);
        parent[at - path] = 0;
        if (mkdir(parent, 0755) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return error_errno(err, errno, "create %s", parent);
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_errno(err, errno,
                           "create %s for the emulated SGX root key "
                           "(RUNE_SGX_EMULATOR_ROOT names another directory)",
                           path);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? error_errno(err, errno, "open %s", path) : dir;
}

int sgx_emulated_root_open(struct error *err)
{
    const char *path = secure_getenv("RUNE_SGX_EMULATOR_ROOT");
    struct stat st;

    if (!path || !*path)
        path = ROOT_DIR;
    cleanup_close int dir = open_root_dir(path, err);
    if (dir < 0)
        return dir;
    int fd = openat(dir, ROOT_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        int rc = make_root(dir, err);
        if (rc < 0)
            return rc;
        fd = openat(dir, ROOT_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    cleanup_close int owned = fd;
    if (owned < 0 || fstat(owned, &st) < 0)
        return error_errno(err, errno, "open %s/%s", path, ROOT_NAME);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
        return error_code(err, EPERM, "%s/%s: other users can read it; it must have mode 0600",
                          path, ROOT_NAME);
    return take_fd(owned);
}

/* Whoever started us may have opened the key for us, where we have no right to. */
static int inherited_root(void)
{
    const char *text = secure_getenv(SGX_EMULATED_ROOT_FD);
    char *end;

    if (!text)
        return -1;
    long number = strtol(text, &end, 10);
    return end == text || *end || number < 0 || number > INT_MAX ? -1 : (int)number;
}

static int read_root(struct emu_root *root, struct error *err)
{
    int inherited = inherited_root();
    cleanup_close int opened = inherited >= 0 ? -1 : sgx_emulated_root_open(err);
    int fd = inherited >= 0 ? inherited : opened;

    if (fd < 0)
        return fd;
    ssize_t size = pread(fd, root->secret, sizeof(root->secret), 0);
    if (size < 0)
        return error_errno(err, errno, "read the emulated SGX root key");
    if (size != sizeof(root->secret))
        return error_set(err, "the emulated SGX root key is cut short");
    if (getrandom(root->key_id, sizeof(root->key_id), 0) != sizeof(root->key_id))
        return error_errno(err, errno, "make the KEYID of the emulated SGX");
    return 0;
}

/* Read once: later the process may have another root directory (sgx_emulated_preload). */
static struct {
    pthread_mutex_t lock;
    struct emu_root root;
    bool loaded;
} g_kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

int emu_root_load(struct emu_root *root, struct error *err)
{
    int rc = 0;

    pthread_mutex_lock(&g_kept.lock);
    if (!g_kept.loaded)
        rc = read_root(&g_kept.root, err);
    g_kept.loaded = rc == 0;
    if (g_kept.loaded)
        *root = g_kept.root;
    pthread_mutex_unlock(&g_kept.lock);
    return rc;
}

_Static_assert(sizeof(struct emu_root) == SGX_EMULATED_ROOT_SIZE, "sgx/emulated.h");

int sgx_emulated_root_export(uint8_t out[SGX_EMULATED_ROOT_SIZE], struct error *err)
{
    return emu_root_load((struct emu_root *)out, err);
}

void sgx_emulated_root_import(const uint8_t root[SGX_EMULATED_ROOT_SIZE])
{
    pthread_mutex_lock(&g_kept.lock);
    memcpy(&g_kept.root, root, sizeof(g_kept.root));
    g_kept.loaded = true;
    pthread_mutex_unlock(&g_kept.lock);
}

int sgx_emulated_preload(struct error *err)
{
    struct emu_root root;
    int rc = emu_root_load(&root, err);

    explicit_bzero(&root, sizeof(root));
    return rc;
}

/* ---- derivation ---- */

static void hmac(const struct emu_root *root, const void *data, size_t size, uint8_t out[32])
{
    struct hmac_sha256_ctx ctx;

    hmac_sha256_set_key(&ctx, sizeof(root->secret), root->secret);
    hmac_sha256_update(&ctx, size, data);
    hmac_sha256_digest(&ctx, 32, out);
    explicit_bzero(&ctx, sizeof(ctx));
}

int sgx_emulated_secret(const char *label, uint8_t out[32], struct error *err)
{
    /* No key of an enclave has this domain (key_dependencies). */
    static const char domain[8] = {'S', 'G', 'X', 'E', 'M', 'U', 'Q', 'E'};
    struct emu_root root;
    uint8_t message[sizeof(domain) + 64] = {0};
    int rc = emu_root_load(&root, err);

    if (rc < 0)
        return rc;
    memcpy(message, domain, sizeof(domain));
    /* The label, and zeros up to the end. */
    for (size_t at = sizeof(domain), i = 0; rc == 0 && label[i]; at++, i++) {
        if (at == sizeof(message))
            rc = error_errno(err, ENAMETOOLONG, "%s", label);
        else
            message[at] = (uint8_t)label[i];
    }
    if (rc == 0)
        hmac(&root, message, sizeof(message), out);
    explicit_bzero(&root, sizeof(root));
    return rc;
}

static void derive(const struct emu_root *root, const struct key_dependencies *d, uint8_t key[16])
{
    uint8_t full[32];

    hmac(root, d, sizeof(*d), full);
    memcpy(key, full, 16);
    explicit_bzero(full, sizeof(full));
}

static void cmac(const uint8_t key[16], const void *data, size_t size, uint8_t mac[16])
{
    struct cmac_aes128_ctx ctx;

    cmac_aes128_set_key(&ctx, key);
    cmac_aes128_update(&ctx, size, data);
    cmac_aes128_digest(&ctx, 16, mac);
    explicit_bzero(&ctx, sizeof(ctx));
}

static struct key_dependencies dependencies(uint16_t name)
{
    struct key_dependencies d;

    memset(&d, 0, sizeof(d));
    memcpy(d.domain, "SGXEMUKY", sizeof(d.domain));
    d.key_name = name;
    return d;
}

/* The key that a report for `target` is authenticated with, and that `target` gets from EGETKEY. */
static void report_key(const struct emu_root *root, const struct sgx_targetinfo *target,
                       const uint8_t key_id[32], uint8_t key[16])
{
    struct key_dependencies d = dependencies(SGX_KEY_REPORT);

    memcpy(d.cpu_svn, g_cpu_svn, sizeof(d.cpu_svn));
    d.attributes = target->attributes;
    d.miscselect = target->miscselect;
    memcpy(d.mrenclave, target->mrenclave, sizeof(d.mrenclave));
    memcpy(d.key_id, key_id, sizeof(d.key_id));
    if (target->attributes.flags & SGX_ATTR_KSS) {
        memcpy(d.config_id, target->config_id, sizeof(d.config_id));
        d.config_svn = target->config_svn;
    }
    derive(root, &d, key);
}

int sgx_emulated_report_verify(const struct sgx_report *report, const struct sgx_targetinfo *target,
                               struct error *err)
{
    struct emu_root root;
    uint8_t key[16], mac[16];
    int rc = emu_root_load(&root, err);

    if (rc < 0)
        return rc;
    if (!sgx_cpusvn_is_emulated(report->body.cpu_svn))
        return error_code(err, EPERM, "the report does not say that it is of an emulated enclave");
    report_key(&root, target, report->key_id, key);
    cmac(key, &report->body, sizeof(report->body), mac);
    explicit_bzero(&root, sizeof(root));
    explicit_bzero(key, sizeof(key));
    if (!memeql_sec(mac, report->mac, sizeof(mac)))
        return error_code(err, EPERM,
                          "the report was not made by an emulated enclave of this machine for "
                          "this target");
    return 0;
}

/* ---- leaves ---- */

static int gp(struct emu_fault *fault)
{
    *fault = (struct emu_fault){.vector = X86_GP};
    return -1;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

/* An operand is aligned, in the enclave, and may be used as the leaf will use it. */
static int operand(struct sgx_handle *e, uint64_t address, uint64_t align, uint64_t size,
                   uint8_t want, struct emu_fault *fault)
{
    if ((address & (align - 1)) || !emu_inside(e, address, size))
        return gp(fault);
    return emu_access(e, address, want, fault);
}

int emu_ereport(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    struct sgx_targetinfo target;
    struct sgx_report report;
    uint8_t key[16];

    if (operand(e, r->rbx, 512, sizeof(target), EPCM_R, fault) < 0 ||
        operand(e, r->rcx, 128, 64, EPCM_R, fault) < 0 ||
        operand(e, r->rdx, 512, sizeof(report), EPCM_W, fault) < 0 ||
        emu_read(e, r->rbx, &target, sizeof(target), fault) < 0)
        return -1;
    if (!is_zero(&target.reserved1, sizeof(target.reserved1)) ||
        !is_zero(target.reserved2, sizeof(target.reserved2)) ||
        !is_zero(target.reserved3, sizeof(target.reserved3)))
        return gp(fault);
    memset(&report, 0, sizeof(report));
    struct sgx_report_body *b = &report.body;
    memcpy(b->cpu_svn, g_cpu_svn, sizeof(b->cpu_svn));
    b->miscselect = e->secs.miscselect;
    b->attributes = e->secs.attributes;
    memcpy(b->mrenclave, e->secs.mrenclave, sizeof(b->mrenclave));
    memcpy(b->mrsigner, e->secs.mrsigner, sizeof(b->mrsigner));
    b->isv_prod_id = e->secs.isv_prod_id;
    b->isv_svn = e->secs.isv_svn;
    if (e->secs.attributes.flags & SGX_ATTR_KSS) {
        memcpy(b->isv_ext_prod_id, e->isv_ext_prod_id, sizeof(b->isv_ext_prod_id));
        memcpy(b->isv_family_id, e->isv_family_id, sizeof(b->isv_family_id));
        memcpy(b->config_id, e->secs.config_id, sizeof(b->config_id));
        b->config_svn = e->secs.config_svn;
    }
    if (emu_read(e, r->rcx, b->report_data, sizeof(b->report_data), fault) < 0)
        return -1;
    memcpy(report.key_id, e->root.key_id, sizeof(report.key_id));
    report_key(&e->root, &target, report.key_id, key);
    cmac(key, b, sizeof(*b), report.mac);
    explicit_bzero(key, sizeof(key));
    return emu_write(e, r->rdx, &report, sizeof(report), fault);
}

static uint32_t check_request(const struct sgx_handle *e, const struct sgx_keyrequest *q)
{
    const bool kss = e->secs.attributes.flags & SGX_ATTR_KSS;
    const uint64_t flags = e->secs.attributes.flags;

    if ((q->key_name == SGX_KEY_PROVISION || q->key_name == SGX_KEY_PROVISION_SEAL) &&
        !(flags & SGX_ATTR_PROVISION_KEY))
        return SGX_INVALID_ATTRIBUTE;
    if (q->key_name == SGX_KEY_EINITTOKEN && !(flags & SGX_ATTR_EINIT_KEY))
        return SGX_INVALID_ATTRIBUTE;
    if (q->key_name > SGX_KEY_SEAL)
        return SGX_INVALID_KEYNAME;
    if (q->key_name == SGX_KEY_REPORT)
        return SGX_SUCCESS;
    for (int i = 15; i >= 0; i--)
        if (q->cpu_svn[i] > g_cpu_svn[i])
            return SGX_INVALID_CPUSVN;
    if (q->isv_svn > e->secs.isv_svn || (kss && q->config_svn > e->secs.config_svn))
        return SGX_INVALID_ISVSVN;
    return SGX_SUCCESS;
}

static void requested_key(const struct sgx_handle *e, const struct sgx_keyrequest *q,
                          uint8_t key[16])
{
    struct key_dependencies d = dependencies(q->key_name);
    const struct sgx_secs *s = &e->secs;
    bool signer = q->key_name != SGX_KEY_SEAL || (q->key_policy & SGX_POLICY_MRSIGNER);

    memcpy(d.cpu_svn, q->cpu_svn, sizeof(d.cpu_svn));
    d.isv_svn = q->isv_svn;
    d.attribute_mask = q->attribute_mask;
    /* INIT and DEBUG always count: a debug enclave never gets the keys of a production one. */
    d.attributes.flags = s->attributes.flags &
                         (q->attribute_mask.flags | SGX_ATTR_INIT | SGX_ATTR_DEBUG);
    d.attributes.xfrm = s->attributes.xfrm & q->attribute_mask.xfrm;
    d.misc_mask = q->misc_mask;
    d.miscselect = s->miscselect & q->misc_mask;
    if (q->key_name != SGX_KEY_PROVISION)
        memcpy(d.key_id, q->key_id, sizeof(d.key_id));
    if (signer)
        memcpy(d.mrsigner, s->mrsigner, sizeof(d.mrsigner));
    if (!(q->key_policy & SGX_POLICY_NOISVPRODID))
        d.isv_prod_id = s->isv_prod_id;
    if (q->key_name == SGX_KEY_SEAL) {
        d.key_policy = q->key_policy;
        if (q->key_policy & SGX_POLICY_MRENCLAVE)
            memcpy(d.mrenclave, s->mrenclave, sizeof(d.mrenclave));
    }
    if (q->key_policy & SGX_POLICY_CONFIGID) {
        memcpy(d.config_id, s->config_id, sizeof(d.config_id));
        d.config_svn = q->config_svn;
    }
    if (q->key_policy & SGX_POLICY_ISVFAMILYID)
        memcpy(d.isv_family_id, e->isv_family_id, sizeof(d.isv_family_id));
    if (q->key_policy & SGX_POLICY_ISVEXTPRODID)
        memcpy(d.isv_ext_prod_id, e->isv_ext_prod_id, sizeof(d.isv_ext_prod_id));
    derive(&e->root, &d, key);
}

int emu_egetkey(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    const uint16_t kss_policy = SGX_POLICY_NOISVPRODID | SGX_POLICY_CONFIGID |
                                SGX_POLICY_ISVFAMILYID | SGX_POLICY_ISVEXTPRODID;
    struct sgx_keyrequest q;
    uint8_t key[16];

    if (operand(e, r->rbx, 512, sizeof(q), EPCM_R, fault) < 0 ||
        operand(e, r->rcx, 16, sizeof(key), EPCM_W, fault) < 0 ||
        emu_read(e, r->rbx, &q, sizeof(q), fault) < 0)
        return -1;
    if (q.reserved1 || !is_zero(q.reserved2, sizeof(q.reserved2)) ||
        (q.key_policy & ~(kss_policy | SGX_POLICY_MRENCLAVE | SGX_POLICY_MRSIGNER)) ||
        (((q.key_policy & kss_policy) || q.config_svn) &&
         !(e->secs.attributes.flags & SGX_ATTR_KSS)))
        return gp(fault);
    uint32_t code = check_request(e, &q);
    if (code == SGX_SUCCESS && q.key_name == SGX_KEY_REPORT) {
        struct sgx_targetinfo self = {.attributes = e->secs.attributes,
                                      .miscselect = e->secs.miscselect,
                                      .config_svn = e->secs.config_svn};
        memcpy(self.mrenclave, e->secs.mrenclave, sizeof(self.mrenclave));
        memcpy(self.config_id, e->secs.config_id, sizeof(self.config_id));
        report_key(&e->root, &self, q.key_id, key);
    } else if (code == SGX_SUCCESS) {
        requested_key(e, &q, key);
    }
    int rc = code == SGX_SUCCESS ? emu_write(e, r->rcx, key, sizeof(key), fault) : 0;
    explicit_bzero(key, sizeof(key));
    if (rc < 0)
        return rc;
    r->rax = code;
    r->rflags = (r->rflags & ~(uint64_t)FLAGS_ARITH) | (code ? FLAG_ZF : 0);
    return 0;
}
