/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: add_key(), request_key(), keyctl(). A machine that has none says nothing against them. */
#include "check.h"
#include <linux/keyctl.h>
#include <pthread.h>
#include <sys/syscall.h>

static long add(const char *type, const char *name, const void *data, size_t size, int ring)
{
    return syscall(SYS_add_key, type, name, data, size, ring);
}

static long ctl(int command, long a, long b, long c, long d)
{
    return syscall(SYS_keyctl, command, a, b, c, d);
}

static long request(const char *type, const char *name, const char *callout, int ring)
{
    return syscall(SYS_request_key, type, name, callout, ring);
}

static int g_there; /* the machine has keys, and lets us use them */

static void made_and_read(void)
{
    char text[64] = "", told[128] = "";
    if (!g_there)
        return;
    long k = add("user", "first", "secret", 6, KEY_SPEC_PROCESS_KEYRING);
    CHECK(k > 0 && ctl(KEYCTL_READ, k, (long)text, sizeof(text), 0) == 6);
    CHECK(memcmp(text, "secret", 7) == 0);
    CHECK(add("user", "first", "other", 5, KEY_SPEC_PROCESS_KEYRING) == k);
    CHECK(ctl(KEYCTL_READ, k, 0, 0, 0) == 5);
    CHECK(ctl(KEYCTL_DESCRIBE, k, (long)told, sizeof(told), 0) == (long)strlen(told) + 1);
    CHECK(strncmp(told, "user;", 5) == 0 && strstr(told, ";3f010000;first") != NULL);
    CHECK(request("user", "first", NULL, 0) == k);
    CHECK(ctl(KEYCTL_SEARCH, KEY_SPEC_PROCESS_KEYRING, (long)"user", (long)"first", 0) == k);
    long l = add("logon", "a:b", "secret", 6, KEY_SPEC_PROCESS_KEYRING);
    CHECK(l > 0 && ctl(KEYCTL_READ, l, (long)text, sizeof(text), 0) == -1);
    CHECK(add("logon", "ab", "secret", 6, KEY_SPEC_PROCESS_KEYRING) == -1 && errno == EINVAL);
    CHECK(add(".user", "x", "y", 1, KEY_SPEC_PROCESS_KEYRING) == -1 && errno == EPERM);
    CHECK(add("keyring", "x", "y", 1, KEY_SPEC_PROCESS_KEYRING) == -1 && errno == EINVAL);
}

static void states(void)
{
    char byte;
    if (!g_there)
        return;
    long k = add("user", "revoked", "x", 1, KEY_SPEC_PROCESS_KEYRING);
    CHECK(ctl(KEYCTL_REVOKE, k, 0, 0, 0) == 0);
    CHECK(ctl(KEYCTL_READ, k, (long)&byte, 1, 0) == -1 && errno == EKEYREVOKED);
    k = add("user", "gone", "x", 1, KEY_SPEC_PROCESS_KEYRING);
    CHECK(ctl(KEYCTL_INVALIDATE, k, 0, 0, 0) == 0);
    CHECK(request("user", "gone", NULL, 0) == -1 && errno == ENOKEY);
    k = add("user", "short", "x", 1, KEY_SPEC_PROCESS_KEYRING);
    CHECK(ctl(KEYCTL_SET_TIMEOUT, k, 1, 0, 0) == 0);
    sleep_ms(1200);
    CHECK(ctl(KEYCTL_READ, k, (long)&byte, 1, 0) == -1 && errno == EKEYEXPIRED);
    k = add("user", "unlinked", "x", 1, KEY_SPEC_PROCESS_KEYRING);
    CHECK(ctl(KEYCTL_UNLINK, k, KEY_SPEC_PROCESS_KEYRING, 0, 0) == 0);
    CHECK(ctl(KEYCTL_UNLINK, k, KEY_SPEC_PROCESS_KEYRING, 0, 0) == -1);
}

/* Keyrings in keyrings: found through them, and no circle. */
static void keyrings(void)
{
    if (!g_there)
        return;
    long a = add("keyring", "a", NULL, 0, KEY_SPEC_PROCESS_KEYRING);
    long b = add("keyring", "b", NULL, 0, (int)a);
    long k = add("user", "deep", "x", 1, (int)b);
    CHECK(a > 0 && b > 0 && k > 0 && request("user", "deep", NULL, 0) == k);
    CHECK(ctl(KEYCTL_LINK, a, b, 0, 0) == -1 && errno == EDEADLK);
    int ids[4] = {0, 0, 0, 0};
    CHECK(ctl(KEYCTL_READ, a, (long)ids, 4, 0) == 4 && ids[0] == b && ids[1] == 0);
    CHECK(ctl(KEYCTL_CLEAR, a, 0, 0, 0) == 0);
    CHECK(request("user", "deep", NULL, 0) == -1 && errno == ENOKEY);
    CHECK(ctl(KEYCTL_READ, k, 0, 0, 0) == -1);
}

static void *own_ring(void *arg)
{
    long *id = arg;
    *id = ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1, 0, 0);
    return NULL;
}

static void in_the_child(void)
{
    CHECK(request("user", "of the session", NULL, 0) > 0);
    CHECK(request("user", "of the process", NULL, 0) == -1 && errno == ENOKEY);
    _exit(g_failed);
}

static void as_stranger(void)
{
    char byte;
    long k = add("user", "of the session", "x", 1, KEY_SPEC_SESSION_KEYRING);
    long own = ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0, 0, 0);
    if (ctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) < 0)
        _exit(1);
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        _exit(77);
    if (getuid() == 65534)
        CHECK(ctl(KEYCTL_READ, k, (long)&byte, 1, 0) == -1 && (errno == EACCES || errno == ENOKEY));
    CHECK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0, 0, 0) != own || getuid() != 65534);
    _exit(g_failed);
}

static void whose_they_are(void)
{
    long other = 0;
    pthread_t t;
    if (!g_there)
        return;
    CHECK(ctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) > 0);
    CHECK(add("user", "of the session", "x", 1, KEY_SPEC_SESSION_KEYRING) > 0);
    CHECK(add("user", "of the process", "x", 1, KEY_SPEC_PROCESS_KEYRING) > 0);
    CHECK(WEXITSTATUS(in_child(in_the_child)) == 0);
    CHECK(WEXITSTATUS(in_child(as_stranger)) == 0);
    CHECK(pthread_create(&t, NULL, own_ring, &other) == 0 && pthread_join(t, NULL) == 0);
    CHECK(other > 0 && other != ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1, 0, 0));
}

static long g_ring, g_found;

/* May search the keyring and find the key in it, not link it: so never possesses and reads it. */
static void as_finder(void)
{
    char byte;
    if (ctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) < 0)
        _exit(1);
    if (geteuid() != 0 || setresuid(65534, 65534, 65534) < 0)
        _exit(0);
    CHECK(ctl(KEYCTL_SEARCH, g_ring, (long)"user", (long)"found", 0) == g_found);
    CHECK(ctl(KEYCTL_SEARCH, g_ring, (long)"user", (long)"found", KEY_SPEC_PROCESS_KEYRING) == -1 &&
          errno == EACCES);
    CHECK(ctl(KEYCTL_READ, g_found, (long)&byte, 1, 0) == -1 && errno == EACCES);
    _exit(g_failed);
}

static void found_by_another(void)
{
    if (!g_there)
        return;
    g_ring = add("keyring", "to be searched", NULL, 0, KEY_SPEC_PROCESS_KEYRING);
    g_found = add("user", "found", "x", 1, (int)g_ring);
    CHECK(ctl(KEYCTL_SETPERM, g_ring, 0x3f3f0008, 0, 0) == 0);
    CHECK(ctl(KEYCTL_SETPERM, g_found, 0x3f3f0008, 0, 0) == 0);
    CHECK(WEXITSTATUS(in_child(as_finder)) == 0);
    CHECK(ctl(KEYCTL_SETPERM, g_found, 0x0b000000, 0, 0) == 0);
    CHECK(request("user", "found", NULL, 0) == g_found);
    CHECK(request("user", "found", NULL, KEY_SPEC_THREAD_KEYRING) == -1 && errno == EACCES);
}

static void without_room(void)
{
    char name[32];
    long made = 0;
    if (geteuid() == 0 && setresuid(12345, 12345, 12345) < 0)
        _exit(77);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof(name), "one of many %d", i);
        long r = add("user", name, "x", 1, KEY_SPEC_PROCESS_KEYRING);
        made += r > 0;
        if (r < 0 && errno != EDQUOT)
            _exit(1);
    }
    _exit(getuid() == 12345 && (made < 100 || made > 200));
}

static void quota(void)
{
    if (g_there)
        CHECK(WEXITSTATUS(in_child(without_room)) == 0);
}

int main(void)
{
    g_there = add("user", "probe", "x", 1, KEY_SPEC_PROCESS_KEYRING) > 0;
    RUN(made_and_read);
    RUN(states);
    RUN(keyrings);
    RUN(whose_they_are);
    RUN(found_by_another);
    RUN(quota);
    return finish();
}
