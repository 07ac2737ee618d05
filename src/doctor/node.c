/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/node.h"
#include "doctor/doctor.h"
#include "enclave/bundle/bundle.h"
#include "enclave/locate.h"
#include "sgx/signing_key.h"

enum { ROOM_LEAST_GIB = 2 };

void check_installation(const struct node *node, struct finding *out)
{
    const char *const programs[] = {"init-runelet", "enclave-convert", "enclave-make"};
    cleanup_free char *libos = locate_runtime_file("libos.elf");

    (void)node;
    for (size_t i = 0; i < array_count(programs); i++) {
        cleanup_free char *path = locate_program(programs[i]);
        if (access(path, X_OK) < 0) {
            find(out, DOCTOR_FAULT, xasprintf("%s: %s", path, strerror(errno)),
                 xstrdup("install rune again, all of it"));
            return;
        }
    }
    if (access(libos, R_OK) < 0)
        find(out, DOCTOR_FAULT, xasprintf("%s: %s", libos, strerror(errno)),
             xstrdup("install rune again, all of it"));
    else
        find(out, DOCTOR_OK, xasprintf("complete; LibOS %s", libos), NULL);
}

void check_packer(const struct node *node, struct finding *out)
{
    static const char *const dirs[] = {"/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"};

    for (size_t i = 0; i < array_count(dirs); i++) {
        cleanup_free char *inside = xasprintf("%s/mkfs.erofs", dirs[i]);
        cleanup_free char *path = node_file(node, inside);
        if (access(path, X_OK) == 0) {
            find(out, DOCTOR_OK, xstrdup(inside), NULL);
            return;
        }
    }
    find(out, DOCTOR_FAULT, xstrdup("mkfs.erofs is not installed: images cannot be converted"),
         xstrdup("apt-get install erofs-utils (or start sealed bundles only: enclave.image)"));
}

void check_cgroups(const struct node *node, struct finding *out)
{
    cleanup_free char *memory = node_file(node, "/sys/fs/cgroup/memory");
    cleanup_free char *pids = node_file(node, "/sys/fs/cgroup/pids");
    cleanup_buffer struct buffer text = BUFFER_INIT;
    static const char remedy[] = "boot with cgroup_enable=memory, and mount /sys/fs/cgroup";

    if (node_read(node, "/sys/fs/cgroup/cgroup.controllers", &text)) {
        bool has = strstr(buffer_text(&text), "memory") && strstr(buffer_text(&text), "pids");
        find(out, has ? DOCTOR_OK : DOCTOR_WARNING,
             xasprintf("cgroup v2%s", has ? "" : " without the memory or the pids controller"),
             has ? NULL : xstrdup(remedy));
    } else if (access(memory, F_OK) == 0 && access(pids, F_OK) == 0) {
        find(out, DOCTOR_OK, xstrdup("cgroup v1 with memory and pids"), NULL);
    } else {
        find(out, DOCTOR_WARNING,
             xstrdup("no memory and pids cgroups: limits of containers do not hold"),
             xstrdup(remedy));
    }
}

/* As a word by itself ("prune" is none), outside of comments. Takes the text apart. */
static bool names_rune(struct buffer *text)
{
    static const char name[] = "rune";
    char *next = text->data;

    for (char *line = strsep(&next, "\n"); line; line = strsep(&next, "\n")) {
        if (line[strspn(line, " \t")] == '#')
            continue;
        for (const char *at = line; (at = strstr(at, name)); at += sizeof(name) - 1)
            if ((at == line || !isalnum((unsigned char)at[-1])) &&
                !isalnum((unsigned char)at[sizeof(name) - 1]))
                return true;
    }
    return false;
}

void check_engines(const struct node *node, struct finding *out)
{
    static const struct {
        const char *name, *file;
    } engines[] = {{"docker", "/etc/docker/daemon.json"},
                   {"containerd", "/etc/containerd/config.toml"},
                   {"podman", "/etc/containers/containers.conf"},
                   {"cri-o", "/etc/crio/crio.conf.d/rune.conf"}};
    cleanup_buffer struct buffer names = BUFFER_INIT;

    for (size_t i = 0; i < array_count(engines); i++) {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        if (node_read(node, engines[i].file, &text) && names_rune(&text))
            buffer_append_format(&names, "%s%s", names.size ? ", " : "", engines[i].name);
    }
    if (names.size)
        find(out, DOCTOR_OK, xasprintf("configured: %s", buffer_text(&names)), NULL);
    else
        find(out, DOCTOR_WARNING, xstrdup("no engine's configuration names rune"),
             xstrdup("rune install-runtime docker (or containerd, podman, cri-o)"));
}

void check_cache(const struct node *node, struct finding *out)
{
    cleanup_free char *cache = bundle_default_cache();
    cleanup_free char *path = node_file(node, cache);
    cleanup_error struct error err = ERROR_INIT;
    struct node_cache limits;
    struct statvfs fs;
    struct stat st;

    if (node_cache_limits(&limits, &err) < 0) {
        find(out, DOCTOR_FAULT, xstrdup(error_text(&err)),
             xstrdup("correct it (man rune-node.json)"));
        return;
    }
    if (stat(path, &st) < 0) {
        find(out, DOCTOR_OK, xasprintf("%s will be made by the first conversion", cache), NULL);
        return;
    }
    if ((st.st_mode & 022) || (st.st_uid != 0 && st.st_uid != geteuid())) {
        find(out, DOCTOR_WARNING, xasprintf("%s: others than its user can write there", cache),
             xasprintf("chmod 700 %s", cache));
        return;
    }
    uint64_t room = statvfs(path, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize >> 30
                                            : ROOM_LEAST_GIB;
    find(out, room < ROOM_LEAST_GIB ? DOCTOR_WARNING : DOCTOR_OK,
         xasprintf("%s, %llu GiB free", cache, (unsigned long long)room),
         room < ROOM_LEAST_GIB ? xstrdup("free some space, or rune-image prune") : NULL);
}

void check_key(const struct node *node, struct finding *out)
{
    cleanup_free char *key = bundle_default_key();
    cleanup_free char *path = node_file(node, key);
    cleanup_error struct error err = ERROR_INIT;
    cleanup_pkey EVP_PKEY *opened = NULL;
    struct stat st;

    if (stat(path, &st) < 0 && errno == ENOENT)
        find(out, DOCTOR_OK, xasprintf("%s will be made by the first start", key), NULL);
    else if (!S_ISREG(st.st_mode))
        find(out, DOCTOR_FAULT, xasprintf("%s is not a file", key),
             xstrdup("remove it: a key is made by the first start"));
    else if (st.st_mode & 077)
        find(out, DOCTOR_WARNING, xasprintf("%s can be read by others", key),
             xasprintf("chmod 600 %s, and think of it as known", key));
    else if (sgx_key_open(path, false, &opened, &err) < 0)
        find(out, DOCTOR_FAULT, xstrdup(error_text(&err)),
             xasprintf("mv %s away: a new one is made, and MRSIGNER is another", key));
    else if (!EVP_PKEY_is_a(opened, "RSA") || EVP_PKEY_get_bits(opened) != 3072)
        find(out, DOCTOR_FAULT, xasprintf("%s is not an RSA key of 3072 bits", key),
             xstrdup("make one with sgx-tools keygen"));
    else
        find(out, DOCTOR_OK, xstrdup(key), NULL);
}
