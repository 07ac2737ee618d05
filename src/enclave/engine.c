/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What engines add to what a user writes, as Docker 20.10, Podman 4.3 and containerd 1.6 do (ctr,
 * and CRI as a kubelet calls it). An engine is a row; another version that adds something else has
 * another CONFIGID, which verify-quote --deployed shows in words.
 */
#include "enclave/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/number.h"
#include "base/path.h"
#include "enclave/accounts.h"

#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define CAPS_14                                                                     \
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP " \
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
#define CAPS_11                                                                      \
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP " \
    "SETUID SYS_CHROOT"
#define MASKED                                                                                  \
    "/proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats " \
    "/proc/sched_debug /proc/scsi /sys/firmware"
#define READONLY "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"

#define PROC   "/proc proc nosuid,noexec,nodev\n"
#define DEV    "/dev tmpfs nosuid,strictatime,mode=755,size=65536k\n"
#define PTS    "/dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5\n"
#define MQUEUE "/dev/mqueue mqueue nosuid,noexec,nodev\n"
#define SYS    "/sys sysfs nosuid,noexec,nodev,ro\n"
#define CGROUP "/sys/fs/cgroup cgroup nosuid,noexec,nodev,ro"
#define FILES  "/etc/hosts bind\n/etc/hostname bind\n/etc/resolv.conf bind\n"

static const struct profile {
    const char *name, *env, *capabilities, *masked, *readonly, *sysctls;
    const char *mounts; /* a line each: target, type, options */
    bool no_new_privileges, own_group, hostname;
    const char *nofile;
} g_profiles[] = {
    [ENGINE_DOCKER] = {"docker", PATH_DEFAULT, CAPS_14, MASKED " /proc/asound", READONLY,
                       "net.ipv4.ip_unprivileged_port_start=0\n"
                       "net.ipv4.ping_group_range=0 2147483647",
                       PROC DEV PTS MQUEUE SYS CGROUP
                       "\n/dev/shm tmpfs nosuid,noexec,nodev,mode=1777,size=67108864\n" FILES,
                       .own_group = true, .hostname = true},
    [ENGINE_PODMAN] = {"podman", PATH_DEFAULT "\ncontainer=podman\nTERM=xterm", CAPS_11,
                       MASKED " /sys/fs/selinux /sys/dev/block", READONLY " /proc/asound",
                       "net.ipv4.ping_group_range=0 0",
                       PROC "/dev tmpfs nosuid,noexec,strictatime,mode=755,size=65536k\n" PTS MQUEUE
                           SYS CGROUP ",relatime\n/dev/shm bind nosuid,noexec,nodev\n"
                            "/etc/hosts bind\n/etc/hostname bind\n",
                       .hostname = true, .nofile = "1048576:1048576"},
    [ENGINE_CTR] = {"ctr", PATH_DEFAULT, CAPS_14, MASKED " /proc/asound", READONLY, "",
                    PROC DEV PTS MQUEUE SYS
                    "/dev/shm tmpfs nosuid,noexec,nodev,mode=1777,size=65536k\n"
                    "/run tmpfs nosuid,strictatime,mode=755,size=65536k\n",
                    .no_new_privileges = true, .own_group = true, .nofile = "1024:1024"},
    [ENGINE_CRI] = {"cri", PATH_DEFAULT, CAPS_14, MASKED " /proc/asound", READONLY, "",
                    PROC DEV PTS MQUEUE SYS CGROUP ",relatime\n/dev/shm bind\n" FILES,
                    .own_group = true, .hostname = true},
};

int engine_of(const char *name, enum engine *out, struct error *err)
{
    for (size_t i = 0; i < array_count(g_profiles); i++) {
        if (strcmp(name, g_profiles[i].name) == 0) {
            *out = (enum engine)i;
            return 0;
        }
    }
    return error_set(err, "engine \"%s\" is not known: use docker, podman, ctr or cri", name);
}

/* ---- small things of JSON ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && text[0] ? text : NULL;
}

static void append_all(json_t *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        json_array_append(out, json_array_get(list, i));
}

/* Words of a text with these between. */
static json_t *split(const char *text, const char *separators)
{
    cleanup_free char *copy = xstrdup(text);
    json_t *list = json_array();
    char *rest = copy, *word;
    while ((word = strsep(&rest, separators)) != NULL)
        if (word[0])
            json_array_append_new(list, json_string(word));
    return list;
}

/* ---- environment and command ---- */

static bool has_variable(const json_t *env, const char *entry)
{
    const size_t size = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < json_array_size(env); i++)
        if (strncmp(json_string_value(json_array_get(env, i)), entry, size) == 0)
            return true;
    return false;
}

static json_t *environment(const struct profile *profile, const json_t *wish, const json_t *image,
                           const char *hostname)
{
    json_t *env = json_array();
    append_all(env, json_object_get(image, "Env"));
    append_all(env, json_object_get(wish, "env"));
    cleanup_json json_t *own = split(profile->env, "\n");
    if (json_is_true(json_object_get(wish, "tty")))
        json_array_append_new(own, json_string("TERM=xterm"));
    for (size_t i = 0; i < json_array_size(own); i++)
        if (!has_variable(env, json_string_value(json_array_get(own, i))))
            json_array_append(env, json_array_get(own, i));
    if (profile->hostname && !has_variable(env, "HOSTNAME=")) {
        cleanup_free char *entry = xasprintf("HOSTNAME=%s", hostname);
        json_array_append_new(env, json_string(entry));
    }
    return env;
}

/* An entrypoint of the user's drops the image's command. */
static json_t *command(const json_t *wish, const json_t *image, struct error *err)
{
    json_t *args = json_array();
    const json_t *entrypoint = json_object_get(wish, "entrypoint");
    const json_t *own = json_object_get(wish, "args");
    append_all(args, entrypoint ? entrypoint : json_object_get(image, "Entrypoint"));
    if (own || !entrypoint)
        append_all(args, own ? own : json_object_get(image, "Cmd"));
    if (json_array_size(args) > 0)
        return args;
    json_decref(args);
    error_set(err, "neither the image nor the command line says what to run (--image-config)");
    return NULL;
}

/* ---- who ---- */

static json_t *capabilities(const json_t *wish, const char *defaults)
{
    json_t *sum = json_array();
    cleanup_json json_t *own = split(defaults, " ");
    const json_t *add = json_object_get(wish, "capAdd"), *drop = json_object_get(wish, "capDrop");
    cleanup_buffer struct buffer dropped = BUFFER_INIT;
    bool all = false;
    for (size_t i = 0; i < json_array_size(drop); i++) {
        const char *name = json_string_value(json_array_get(drop, i));
        name += strncasecmp(name, "CAP_", 4) == 0 ? 4 : 0;
        all = all || strcasecmp(name, "ALL") == 0;
        buffer_append_format(&dropped, " %s ", name);
    }
    const json_t *lists[] = {all ? NULL : own, add};
    for (size_t k = 0; k < array_count(lists); k++) {
        for (size_t i = 0; i < json_array_size(lists[k]); i++) {
            const char *name = json_string_value(json_array_get(lists[k], i));
            name += strncasecmp(name, "CAP_", 4) == 0 ? 4 : 0;
            cleanup_free char *full = xasprintf("CAP_%s", name);
            cleanup_free char *padded = xasprintf(" %s ", name);
            for (char *p = full; *p; p++)
                *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
            if (k == 1 || !strcasestr(buffer_text(&dropped), padded))
                json_array_append_new(sum, json_string(full));
        }
    }
    return sum;
}

/* Programs of another user than root start with those that were asked for by name, or none. */
static json_t *capability_sets(enum engine engine, const json_t *wish, const char *defaults,
                               bool root)
{
    json_t *sets = json_object();
    json_object_set_new(sets, "bounding", capabilities(wish, defaults));
    json_t *own = root || engine == ENGINE_CTR || engine == ENGINE_CRI
                      ? json_incref(json_object_get(sets, "bounding"))
                  : engine == ENGINE_PODMAN ? capabilities(wish, "")
                                            : json_array();
    json_object_set(sets, "permitted", own);
    json_object_set(sets, "effective", own);
    if (engine == ENGINE_PODMAN && !root) {
        json_object_set(sets, "inheritable", own);
        json_object_set(sets, "ambient", own);
    }
    json_decref(own);
    return sets;
}

static json_t *user_of(enum engine engine, const json_t *wish, const json_t *image,
                       const char *rootfs, struct error *err)
{
    const char *text = text_of(wish, "user") ? text_of(wish, "user") : text_of(image, "User");
    cleanup_accounts struct account account = {0};
    const bool root = !text || strcmp(text, "0") == 0 || strcmp(text, "root") == 0;
    const bool own = g_profiles[engine].own_group || !root;
    if (account_find(rootfs, text ? text : "0", json_object_get(wish, "groups"), own, &account,
                     err) < 0)
        return NULL;
    json_t *user = json_pack("{s:I, s:I}", "uid", (json_int_t)account.uid, "gid",
                             (json_int_t)account.gid);
    json_t *groups = json_array();
    for (size_t i = 0; i < account.group_count; i++)
        json_array_append_new(groups, json_integer(account.groups[i]));
    json_object_set_new(user, "additionalGids", groups);
    return user;
}

/* ---- mounts ---- */

static void add_mount(json_t *mounts, const char *target, const char *type, const char *source,
                      const char *options)
{
    json_t *mount = json_pack("{s:s, s:s, s:s}", "destination", target, "type", type, "source",
                              source);
    json_t *list = split(options, ",");
    if (strcmp(type, "bind") == 0)
        json_array_append_new(list, json_string("rbind"));
    json_object_set_new(mount, "options", list);
    json_array_append_new(mounts, mount);
}

static bool is_mounted(const json_t *wish, const char *target)
{
    const json_t *list = json_object_get(wish, "mounts");
    cleanup_free char *clean = path_clean(target);
    for (size_t i = 0; i < json_array_size(list); i++) {
        cleanup_free char *other = path_clean(text_of(json_array_get(list, i), "target"));
        if (strcmp(other, clean) == 0)
            return true;
    }
    return false;
}

static void add_own_mounts(enum engine engine, const json_t *wish, json_t *mounts)
{
    cleanup_json json_t *lines = split(g_profiles[engine].mounts, "\n");
    cleanup_free char *shm = text_of(wish, "shmSize") ? xstrdup(text_of(wish, "shmSize")) : NULL;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        cleanup_json json_t *words = split(json_string_value(json_array_get(lines, i)), " ");
        const char *target = json_string_value(json_array_get(words, 0));
        const char *options = json_string_value(json_array_get(words, 2));
        const char *type = json_string_value(json_array_get(words, 1));
        uint64_t size;
        cleanup_free char *own = NULL;
        if (is_mounted(wish, target))
            continue;
        for (char *p = shm; p && *p; p++)
            *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
        if (shm && strcmp(target, "/dev/shm") == 0 && strcmp(type, "tmpfs") == 0 &&
            number_parse(shm, strlen(shm), UINT64_MAX, &size) == 0)
            options = own = xasprintf("nosuid,noexec,nodev,mode=1777,size=%llu",
                                      (unsigned long long)size);
        /* What the kind of a file is, the table of known mounts says (mounts.c). */
        const char *source = strcmp(type, "bind") == 0 ? "/" : type;
        if (strcmp(target, "/dev/shm") == 0 && strcmp(type, "tmpfs") == 0)
            source = "shm";
        add_mount(mounts, target, type, source, options ? options : "");
    }
    const bool readonly = json_is_true(json_object_get(wish, "readonly"));
    static const char *const writable[] = {"/run", "/tmp", "/var/tmp"};
    if (engine != ENGINE_PODMAN)
        return;
    if (!readonly)
        add_mount(mounts, "/run/.containerenv", "bind", "/", "");
    for (size_t i = 0; readonly && i < array_count(writable); i++)
        if (!is_mounted(wish, writable[i]))
            add_mount(mounts, writable[i], "tmpfs", "tmpfs", "nosuid,nodev,tmpcopyup");
}

static json_t *mounts_of(enum engine engine, const json_t *wish, const json_t *image)
{
    json_t *mounts = json_array();
    const json_t *list = json_object_get(wish, "mounts");
    const json_t *volumes = engine == ENGINE_CTR ? NULL : json_object_get(image, "Volumes");
    const char *key;
    json_t *value;
    add_own_mounts(engine, wish, mounts);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *tmpfs = json_string_value(json_object_get(m, "tmpfs"));
        const char *source = text_of(m, "source") ? text_of(m, "source") : "/";
        if (json_is_true(json_object_get(m, "file")))
            source = "/proc/self/exe"; /* any file will do */
        if (!tmpfs) {
            add_mount(mounts, text_of(m, "target"), "bind", source,
                      json_is_true(json_object_get(m, "readonly")) ? "ro" : "");
            continue;
        }
        cleanup_free char *options = engine == ENGINE_PODMAN
                                         ? xasprintf("%s,nosuid,nodev,tmpcopyup", tmpfs)
                                         : xasprintf("noexec,nosuid,nodev,%s", tmpfs);
        add_mount(mounts, text_of(m, "target"), "tmpfs", "tmpfs", options);
    }
    json_object_foreach ((json_t *)(uintptr_t)volumes, key, value)
        if (!is_mounted(wish, key))
            add_mount(mounts, key, "bind", "/", "");
    return mounts;
}

/* ---- limits, sysctls ---- */

static int add_limit(json_t *list, const char *name, const char *text, struct error *err)
{
    unsigned long long soft, hard;
    char rest;
    int n = sscanf(text, "%llu:%llu%c", &soft, &hard, &rest);
    if (n == 1)
        hard = soft;
    if (n != 1 && n != 2)
        return error_set(err, "ulimit %s=%s: give SOFT or SOFT:HARD", name, text);
    cleanup_free char *type = xasprintf("RLIMIT_%s", name);
    for (char *p = type; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "type", type, "soft", (json_int_t)soft,
                                          "hard", (json_int_t)hard));
    return 0;
}

static json_t *limits(enum engine engine, const json_t *wish, struct error *err)
{
    cleanup_json json_t *list = json_array();
    const json_t *given = json_object_get(wish, "ulimits");
    const char *name;
    json_t *value;
    if (engine == ENGINE_PODMAN && !json_object_get(given, "nproc")) {
        error_set(err, "podman takes the node's own limit of processes, which nobody knows "
                       "beforehand: say it (--ulimit nproc=4096:4096)");
        return NULL;
    }
    if (g_profiles[engine].nofile && !json_object_get(given, "nofile") &&
        add_limit(list, "nofile", g_profiles[engine].nofile, err) < 0)
        return NULL;
    json_object_foreach ((json_t *)(uintptr_t)given, name, value)
        if (add_limit(list, name, json_string_value(value), err) < 0)
            return NULL;
    return json_incref(list);
}

static json_t *sysctls(enum engine engine, const json_t *wish)
{
    json_t *all = json_object();
    cleanup_json json_t *lines = split(g_profiles[engine].sysctls, "\n");
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *line = json_string_value(json_array_get(lines, i));
        cleanup_free char *name = xstrndup(line, strcspn(line, "="));
        json_object_set_new(all, name, json_string(line + strlen(name) + 1));
    }
    json_object_update(all, json_object_get(wish, "sysctls"));
    return all;
}

/* ---- all of it ---- */

static json_t *image_part(const json_t *image)
{
    const json_t *first = json_is_array(image) ? json_array_get(image, 0) : image;
    json_t *config = json_object_get(first, "Config");
    return config ? config : json_object_get(first, "config");
}

json_t *engine_config(enum engine engine, const json_t *wish, const json_t *image_config,
                      const char *rootfs, struct error *err)
{
    const struct profile *profile = &g_profiles[engine];
    const json_t *image = image_part(image_config);
    const char *hostname = text_of(wish, "hostname") ? text_of(wish, "hostname") : "localhost";
    const char *cwd = text_of(wish, "cwd") ? text_of(wish, "cwd") : text_of(image, "WorkingDir");
    cleanup_json json_t *args = command(wish, image, err);
    cleanup_json json_t *user = args ? user_of(engine, wish, image, rootfs, err) : NULL;
    cleanup_json json_t *rlimits = user ? limits(engine, wish, err) : NULL;
    if (!rlimits)
        return NULL;
    const bool root = json_integer_value(json_object_get(user, "uid")) == 0;
    const json_t *no_new = json_object_get(wish, "noNewPrivileges");
    cleanup_json json_t *annotations = json_object_get(wish, "annotations")
                                           ? json_deep_copy(json_object_get(wish, "annotations"))
                                           : json_object();
    if (engine == ENGINE_CRI)
        json_object_set_new(annotations, "io.kubernetes.cri.container-type",
                            json_string("container"));
    return json_pack("{s:s, s:{s:s, s:b}, s:s, s:O, s:o, s:{s:o, s:o, s:o},"
                     " s:{s:b, s:O, s:O, s:o, s:s, s:O, s:o, s:b}}",
                     "ociVersion", "1.0.2", "root", "path", "rootfs", "readonly",
                     json_is_true(json_object_get(wish, "readonly")), "hostname", hostname,
                     "annotations", annotations, "mounts", mounts_of(engine, wish, image), "linux",
                     "maskedPaths", split(profile->masked, " "), "readonlyPaths",
                     split(profile->readonly, " "), "sysctl", sysctls(engine, wish), "process",
                     "terminal", json_is_true(json_object_get(wish, "tty")), "user", user, "args",
                     args, "env", environment(profile, wish, image, hostname), "cwd",
                     cwd ? cwd : "/", "rlimits", rlimits, "capabilities",
                     capability_sets(engine, wish, profile->capabilities, root), "noNewPrivileges",
                     no_new ? json_is_true(no_new) : profile->no_new_privileges);
}
