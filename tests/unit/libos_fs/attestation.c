/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of /dev/attestation that programs set (libos/fs/proc/attestation.c). */
#include "boundary.h"
#include "deployment.h"
#include "host.h"
#include "host_model.h"
#include "manifest.h"
#include "measured.h"
#include "sgx.h"
#include "test_host.h"
#include "../../../libos/fs/fs_private.h"

#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define is(a, b) assert_int_equal((long)(a), (long)(b))
#define KEYS     32 /* at most, one of them `default` */

/* ---- what the other files of the directory stand on ---- */

struct deployment g_deployment;
const struct manifest_image *g_manifest;
struct sgx_report_body g_self;

int host_get_target_info(u8 target_info[512])
{
    return -EIO;
}

ssize_t host_get_quote(const u8 report[SGX_REPORT_SIZE], u8 *quote, size_t n)
{
    return -EIO;
}

int sgx_report(const u8 target_info[512], const u8 report_data[64], u8 report[432])
{
    return -EIO;
}

/* A processor whose security version is 5: its keys tell what they were asked for. */
int sgx_get_key(const struct sgx_keyrequest *request, u8 key[16])
{
    if (request->cpu_svn[0] > 5)
        return -EACCES;
    memset(key, 0, 16);
    key[0] = (u8)(request->key_policy << 4 | (request->isv_svn << 3) | request->cpu_svn[0]);
    return 0;
}

int proc_parse_number(const char *name, size_t len)
{
    return len == 1 && name[0] >= '0' && name[0] <= '9' ? name[0] - '0' : -1;
}

void process_put(struct process *p)
{
}

u32 cpu_count(void)
{
    return 1;
}

struct process *process_find(i32 pid)
{
    return NULL;
}

/* ---- the tests ---- */

static int start(void **state)
{
    static bool mounted;
    struct super *s;
    struct dentry *d;

    if (mounted)
        return 0;
    mounted = true;
    world_start(memfs_create("tmpfs", 8 << 20, 0755, 0, 0));
    is(CALL(mkdir, "/a", 0755), 0);
    s = attestation_create();
    assert_false(is_err(s));
    is(path_lookup(AT_FDCWD, "/a", 0, &d), 0);
    is(mount_attach(s, s->root, d, 0, "attestation", NULL, NULL), 0);
    dentry_put(d);
    return 0;
}

static const char *path_of(unsigned k)
{
    static char path[32];

    snprintf(path, sizeof(path), "/a/keys/k%u", k);
    return path;
}

static long set(const char *path, char c)
{
    char value[16];
    long fd = CALL(open, path, O_WRONLY), n;

    memset(value, c, sizeof(value));
    n = fd < 0 ? fd : CALL(write, fd, value, sizeof(value));
    if (fd >= 0)
        CALL(close, fd);
    return n;
}

/* Its first byte; -1 when it was never set. */
static long get(const char *path)
{
    char value[16];
    long fd = CALL(open, path, O_RDONLY), n;

    assert_true(fd >= 0);
    n = CALL(read, fd, value, sizeof(value));
    CALL(close, fd);
    return n == 16 ? value[0] : -1;
}

static void names_that_are_only_asked_for_use_up_nothing(void **state)
{
    for (unsigned k = 1000; k < 1000 + 3 * KEYS; k++)
        is(get(path_of(k)), -1);
    is(set("/a/keys/mine", 'm'), 16);
    is(get("/a/keys/mine"), 'm');
}

static void copies_of_a_key_are_wiped(void **state)
{
    g_test_secret = 's';
    is(set("/a/keys/mine", 's'), 16);
    is(get("/a/keys/mine"), 's');
    g_test_secret = 0;
    is(g_test_unwiped, 0);
}

static void a_key_keeps_its_name_and_value_when_all_are_taken(void **state)
{
    for (unsigned k = 0; k < KEYS - 2; k++)
        is(set(path_of(k), (char)k), 16);
    is(set(path_of(KEYS), 'x'), -ENOSPC);
    is(get(path_of(KEYS)), -1);
    for (unsigned k = 0; k < KEYS - 2; k++)
        is(get(path_of(k)), k);
    is(set("/a/keys/default", 'd'), 16);
    is(set("/a/keys/mine", 'n'), 16);
    is(get("/a/keys/default"), 'd');
    is(get("/a/keys/mine"), 'n');
}

static void others_may_not_ask_for_names_that_are_not_set(void **state)
{
    struct cred old = g_test_process.cred;

    g_test_process.cred.fsuid = 1000;
    g_test_process.cred.cap_effective = 0;
    is(CALL(open, "/a/keys/unknown", O_RDONLY), -ENOENT);
    is(CALL(open, "/a/keys/mine", O_RDONLY), -EACCES);
    g_test_process.cred = old;
}

#define ZEROS "000000000000000000000000000000" /* the other 15 bytes of a CPUSVN */

static void keys_of_earlier_versions_have_names(void **state)
{
    static const struct manifest_image signed_elsewhere = {.flags = MANIFEST_SIGNED_ELSEWHERE};
    static const char *const none[] = {"_sgx_mrenclave.1",
                                       "_sgx_mrenclave.03",
                                       "_sgx_mrenclave." ZEROS,
                                       "_sgx_mrenclave.0G" ZEROS,
                                       "_sgx_mrenclave.0A" ZEROS,
                                       "_sgx_mrenclave.003" ZEROS,
                                       "_sgx_mrsigner.",
                                       "_sgx_mrsigner.2",
                                       "_sgx_mrsigner.2.03" ZEROS,
                                       "_sgx_mrsigner.0.",
                                       "_sgx_mrsigner.0.0",
                                       "_sgx_mrsigner.0.03" ZEROS ".",
                                       "_sgx_mrsigner.03" ZEROS ".0",
                                       "_sgx_other.03" ZEROS};
    char text[40] = "";
    long fd = CALL(open, "/a/cpu_svn", O_RDONLY);

    g_manifest = &signed_elsewhere;
    g_self.attributes.flags = SGX_ATTR_KSS;
    g_self.isv_svn = 1;
    g_self.cpu_svn[0] = 5;
    is(CALL(read, fd, text, sizeof(text)), 33);
    CALL(close, fd);
    assert_string_equal(text, "05" ZEROS "\n");
    const long enclave = (SGX_POLICY_MRENCLAVE | SGX_POLICY_CONFIGID) << 4 & 0xff;
    const long signer = (SGX_POLICY_MRSIGNER | SGX_POLICY_CONFIGID) << 4 & 0xff;
    is((u8)get("/a/keys/_sgx_mrenclave"), enclave | 8 | 5);
    is((u8)get("/a/keys/_sgx_mrenclave.05" ZEROS), enclave | 8 | 5);
    is((u8)get("/a/keys/_sgx_mrenclave.03" ZEROS), enclave | 8 | 3);
    is((u8)get("/a/keys/_sgx_mrsigner"), signer | 8 | 5);
    is((u8)get("/a/keys/_sgx_mrsigner.0"), signer | 5);
    is((u8)get("/a/keys/_sgx_mrsigner.03" ZEROS), signer | 8 | 3);
    is((u8)get("/a/keys/_sgx_mrsigner.0.03" ZEROS), signer | 3);
    fd = CALL(open, "/a/keys/_sgx_mrenclave.06" ZEROS, O_RDONLY);
    is(fd < 0 ? fd : CALL(read, fd, text, sizeof(text)), -EACCES);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        char path[96];

        snprintf(path, sizeof(path), "/a/keys/%s", none[i]);
        is(CALL(open, path, O_RDONLY), -ENOENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(names_that_are_only_asked_for_use_up_nothing, start),
        cmocka_unit_test_setup(copies_of_a_key_are_wiped, start),
        cmocka_unit_test_setup(a_key_keeps_its_name_and_value_when_all_are_taken, start),
        cmocka_unit_test_setup(keys_of_earlier_versions_have_names, start),
        cmocka_unit_test_setup(others_may_not_ask_for_names_that_are_not_set, start),
    };

    return cmocka_run_group_tests_name("libos-fs-attestation", tests, NULL, NULL);
}
