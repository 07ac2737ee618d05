/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts of an engine: what it says of localhost is the enclave's own, whatever it says. */
#include "host_model.h"
#include "manifest.h"
#include "../../../libos/fs/host/hostfs.h"

#include <asm/stat.h>
#include <linux/mman.h>
#include <setjmp.h>
#include <cmocka.h>

#define is(a, b) assert_int_equal((long)(a), (long)(b))

#define OWN                                                                           \
    "127.0.0.1\tlocalhost localhost.localdomain localhost4 localhost4.localdomain4\n" \
    "::1\tlocalhost ip6-localhost ip6-loopback localhost6 localhost6.localdomain6\n"

/* The host's file, and what of it is behind the enclave's own lines. */
static const char *const g_files[][2] = {
    {"", ""},
    {"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n172.17.0.2\tweb-0\n",
     "172.17.0.2\tweb-0\n"},
    {"6.6.6.6 localhost", ""},
    {"6.6.6.6 a localhost b\n", "6.6.6.6\ta b\n"},
    {"6.6.6.6 LocalHost LOCALHOST. localhost.LocalDomain. ip6-localhost localhost6 c",
     "6.6.6.6\tc\n"},
    {"6.6.6.6\rlocalhost\r\n6.6.6.6\vlocalhost\fx\n", "6.6.6.6\tx\n"},
    {"6.6.6.6 my.localhost\n127.0.0.1 my.localhost\n::1 my.localhost\n127.0.0.5 my.localhost\n",
     "127.0.0.1\tmy.localhost\n::1\tmy.localhost\n"},
    {"6.6.6.6 notlocalhost localhost.example\n", "6.6.6.6\tnotlocalhost localhost.example\n"},
    {"# 6.6.6.6 a\n6.6.6.6 a#b localhost\n6.6.6.6 # a\n6.6.6.6#a\n", "6.6.6.6\ta\n"},
    {"6.6.6.6\n \n\n\t 10.0.0.1   peer  \n", "10.0.0.1\tpeer\n"},
    {"6.6.6.6 l\xc3\xb6"
     "calhost \x7f peer\n",
     "6.6.6.6\tpeer\n"},
    {"6.6.6.6 . .. x\n", "6.6.6.6\tx\n"},
};

static void localhost_is_the_enclaves(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(g_files); i++) {
        const char *text = g_files[i][0], *rest = g_files[i][1];
        char out[HOSTS_ROOM(200)];
        size_t n = hosts_text(text, strlen(text), out);

        assert_true(n <= HOSTS_ROOM(strlen(text)));
        is(n, strlen(OWN) + strlen(rest));
        assert_memory_equal(out, OWN, strlen(OWN));
        assert_memory_equal(out + strlen(OWN), rest, strlen(rest));
    }
}

/* Bytes that are no text: no line but its own has the name. */
static void any_bytes(void **state)
{
    static const char parts[][12] = {"localhost", "6.6.6.6", " ", "\n",        "\r",        "\t",
                                     "#",         ".",       "a", "LOCALHOST", "localhost4"};
    u64 random = 1;

    for (unsigned round = 0; round < 20000; round++) {
        char text[200], out[HOSTS_ROOM(sizeof(text)) + 1];
        size_t n = 0;

        while (n < 150) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            const char *part = parts[(random >> 33) % ARRAY_SIZE(parts)];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
            if (random >> 60 == 0)
                text[n++] = (char)(random >> 20); /* NUL, too */
        }
        const size_t used = hosts_text(text, n, out);
        assert_true(used <= HOSTS_ROOM(n));
        out[used] = 0;
        is(strlen(out), used);
        for (const char *at = out + strlen(OWN); *at; at++)
            assert_false(
                strncmp(at, " localhost ", 11) == 0 || strncmp(at, " localhost\n", 11) == 0 ||
                strncmp(at, "\tlocalhost ", 11) == 0 || strncmp(at, "\tlocalhost\n", 11) == 0);
    }
}

static void mount_hosts(const char *text)
{
    struct dentry *d;

    model_put("hosts", S_IFREG | 0644, text);
    struct super *s = hostfs_create(host_open((hostfd){MODEL_ROOT}, "hosts", O_RDONLY, 0),
                                    MANIFEST_MOUNT_IS_FILE);
    assert_false(is_err(s));
    is(path_lookup(AT_FDCWD, "/hosts", 0, &d), 0);
    is(mount_attach(s, s->root, d, 0, "host", NULL, NULL), 0);
    dentry_put(d);
    is(hostfs_keep_localhost(s), 0);
}

static int start(void **state)
{
    world_start(memfs_create("tmpfs", 8 << 20, 0755, 0, 0));
    is(CALL(close, CALL(open, "/hosts", O_CREAT | O_WRONLY, 0644)), 0);
    model_reset();
    return 0;
}

static int stop(void **state)
{
    is(CALL(umount2, "/hosts"), 0);
    world_stop();
    return 0;
}

static void say(const char *text)
{
    struct model_node *n = model_find("hosts");

    memcpy(n->text, text, strlen(text) + 1);
    n->size = strlen(text);
}

static void is_live(void **state)
{
    char buf[600];
    struct stat st;

    mount_hosts("6.6.6.6 localhost\n");
    is(CALL(stat, "/hosts", &st), 0);
    is(st.st_size, strlen(OWN));
    long fd = CALL(open, "/hosts", O_RDONLY);
    assert_true(fd >= 0);
    is(CALL(read, fd, buf, sizeof(buf)), strlen(OWN));
    assert_memory_equal(buf, OWN, strlen(OWN));
    is(CALL(read, fd, buf, sizeof(buf)), 0);
    is(CALL(lseek, fd, 0, SEEK_END), strlen(OWN));
    say("10.0.0.1 b");
    is(CALL(lseek, fd, 0, SEEK_SET), 0);
    is(CALL(read, fd, buf, sizeof(buf)), strlen(OWN "10.0.0.1\tb\n"));
    assert_memory_equal(buf, OWN "10.0.0.1\tb\n", strlen(OWN "10.0.0.1\tb\n"));
    is(CALL(close, fd), 0);
}

/* Two halves of two files are not one. */
static void stays_for_one_reader(void **state)
{
    const size_t first = strlen(OWN "6.6.6.6\tlocal");
    char buf[600];

    mount_hosts("6.6.6.6 localx y\n");
    long fd = CALL(open, "/hosts", O_RDWR);
    assert_true(fd >= 0);
    is(CALL(read, fd, buf, first), first);
    say("6.6.6.6 aaaaahost\n");
    is(CALL(read, fd, buf + first, sizeof(buf) - first), strlen("x y\n"));
    assert_memory_equal(buf + first, "x y\n", 4);
    is(CALL(close, fd), 0);
}

static void check_own_lines(long fd)
{
    char buf[600];

    assert_true(fd >= 0);
    is(CALL(pread64, fd, buf, sizeof(buf), 0), strlen(OWN));
    assert_memory_equal(buf, OWN, strlen(OWN));
}

/* Who could not read it would ask the DNS for localhost, which is the host. */
static void is_there_whatever_the_host_says(void **state)
{
    static const int errors[] = {-ENOENT, -EACCES, -EIO, -ENOMEM, -ELOOP, -EINTR, -EAGAIN};
    struct stat st;

    mount_hosts("10.0.0.1 b\n");
    long open_before = CALL(open, "/hosts", O_RDONLY);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        g_model_error = errors[i];
        long fd = CALL(open, "/hosts", O_RDONLY | O_CLOEXEC);
        check_own_lines(fd);
        is(CALL(lseek, fd, 0, SEEK_END), strlen(OWN));
        is(CALL(close, fd), 0);
        check_own_lines(open_before);
        is(CALL(stat, "/hosts", &st), 0);
        is(st.st_size, strlen(OWN));
        is(CALL(access, "/hosts", 4), 0);
    }
    g_model_error = 0;
    is(CALL(close, open_before), 0);
}

/* Another user than the file's, as the host has it, reads it as well. */
static void is_there_for_everybody(void **state)
{
    const struct cred before = g_test_process.cred;
    struct cred *c = &g_test_process.cred;

    mount_hosts("");
    model_find("hosts")->mode = S_IFREG;
    model_find("hosts")->uid = 7;
    c->uid = c->euid = c->suid = c->fsuid = 1000;
    c->cap_effective = c->cap_permitted = 0;
    long fd = CALL(open, "/hosts", O_RDONLY);
    check_own_lines(fd);
    is(CALL(close, fd), 0);
    fd = CALL(open, "/hosts", O_RDONLY); /* with what the host said by now */
    check_own_lines(fd);
    is(CALL(close, fd), 0);
    g_test_process.cred = before;
}

/* A FIFO, say, would have no lines but the host's. */
static void is_a_file(void **state)
{
    static const u32 kinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR};

    mount_hosts("");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        model_put("other", kinds[i] | 0644, "");
        struct super *s = hostfs_create(host_open((hostfd){MODEL_ROOT}, "other", O_RDONLY, 0),
                                        MANIFEST_MOUNT_IS_FILE);
        assert_false(is_err(s));
        assert_true(hostfs_keep_localhost(s) < 0);
        inode_put(s->root);
        s->destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localhost_is_the_enclaves),
        cmocka_unit_test(any_bytes),
        cmocka_unit_test_setup_teardown(is_live, start, stop),
        cmocka_unit_test_setup_teardown(stays_for_one_reader, start, stop),
        cmocka_unit_test_setup_teardown(is_there_whatever_the_host_says, start, stop),
        cmocka_unit_test_setup_teardown(is_there_for_everybody, start, stop),
        cmocka_unit_test_setup_teardown(is_a_file, start, stop),
    };

    return cmocka_run_group_tests_name("libos-fs-hosts", tests, NULL, NULL);
}
