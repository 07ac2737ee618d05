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
#include "oci/config.h"

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
    int capabilities_all; /* how many ALL are; 0: as many as the node's kernel has */
} g_profiles[] = {
    [ENGINE_DOCKER] = {"docker", PATH_DEFAULT, CAPS_14, MASKED " /proc/asound", READONLY,
                       "net.ipv4.ip_unprivileged_port_start=0\n"
                       "net.ipv4.ping_group_range=0 2147483647",
                       PROC DEV PTS MQUEUE SYS CGROUP
                       "\n/dev/shm tmpfs nosuid,noexec,nodev,mode=1777,size=67108864\n" FILES,
                       .own_group = true, .hostname = true, .capabilities_all = 38},
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

static const char *bare_name(const char *name)
{
    return strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;
}

static const char *capability_name(const json_t *list, size_t i)
{
    const char *name = json_string_value(json_array_get(list, i));
    return bare_name(name ? name : "");
}

static bool has_capability(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcasecmp(capability_name(list, i), name) == 0)
            return true;
    return false;
}

static void add_capability(json_t *sum, const char *name)
{
    cleanup_free char *full = xasprintf("CAP_%s", name);
    for (char *p = full; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    json_array_append_new(sum, json_string(full));
}

/* With or without those that are there by default. */
static json_t *capabilities(const struct profile *profile, const json_t *wish, bool defaults)
{
    json_t *sum = json_array();
    cleanup_json json_t *own = split(defaults ? profile->capabilities : "", " ");
    const json_t *add = json_object_get(wish, "capAdd"), *drop = json_object_get(wish, "capDrop");
    const bool all = has_capability(add, "ALL");
    for (int i = 0; all && i < profile->capabilities_all; i++)
        if (!has_capability(drop, bare_name(oci_capability_name(i))))
            add_capability(sum, bare_name(oci_capability_name(i)));
    for (size_t i = 0; !all && !has_capability(drop, "ALL") && i < json_array_size(own); i++)
        if (!has_capability(drop, capability_name(own, i)))
            add_capability(sum, capability_name(own, i));
    for (size_t i = 0; !all && i < json_array_size(add); i++)
        add_capability(sum, capability_name(add, i));
    return sum;
}

/* Programs of another user than root start with those that were asked for by name, or none. */
static json_t *capability_sets(enum engine engine, const json_t *wish, bool root)
{
    const struct profile *profile = &g_profiles[engine];
    json_t *sets = json_object();
    json_object_set_new(sets, "bounding", capabilities(profile, wish, true));
    json_t *own = root || engine == ENGINE_CTR || engine == ENGINE_CRI
                      ? json_incref(json_object_get(sets, "bounding"))
                  : engine == ENGINE_PODMAN ? capabilities(profile, wish, false)
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
    const bool own = g_profiles[engine].own_group || text; /* Podman: of whoever is named */
    cleanup_free char *full = xasprintf("%s%s", !text || text[0] == ':' ? "0" : "",
                                        text ? text : "");
    if (account_find(rootfs, full, json_object_get(wish, "groups"), own, &account, err) < 0)
        return NULL;
    json_t *user = json_pack("{s:I, s:I}", "uid", (json_int_t)account.uid, "gid",
                             (json_int_t)account.gid);
    json_t *groups = json_array();
    for (size_t i = 0; i < account.group_count; i++)
        json_array_append_new(groups, json_integer(account.groups[i]));
    json_object_set_new(user, "additionalGids", groups);
    if (text_of(wish, "umask"))
        json_object_set_new(user, "umask", json_integer(strtol(text_of(wish, "umask"), NULL, 8)));
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

/* Bytes as Docker reads them: 64m, 64MB, 64MiB. */
static int bytes_parse(const char *text, uint64_t *out)
{
    size_t size = strlen(text);
    if (size > 0 && (text[size - 1] | 0x20) == 'b')
        size--;
    if (size > 0 && (text[size - 1] | 0x20) == 'i')
        size--;
    cleanup_free char *upper = xstrndup(text, size);
    for (char *p = upper; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    return number_parse(upper, size, UINT64_MAX, out);
}

/* Docker makes a tmpfs where shared memory is the container's own; Podman and CRI bind it. */
static bool is_own_shm(const char *target, const char *type)
{
    return strcmp(target, "/dev/shm") == 0 && strcmp(type, "tmpfs") == 0;
}

static int add_own_mount(enum engine engine, const json_t *wish, const char *line, json_t *mounts,
                         struct error *err)
{
    cleanup_json json_t *words = split(line, " ");
    const char *target = json_string_value(json_array_get(words, 0));
    const char *type = json_string_value(json_array_get(words, 1));
    const char *options = json_string_value(json_array_get(words, 2));
    const char *shm = text_of(wish, "shmSize"), *ipc = text_of(wish, "ipc");
    cleanup_free char *own = NULL;
    uint64_t size = 0;
    if (is_mounted(wish, target))
        return 0;
    if (ipc && strcmp(target, "/dev/shm") == 0) {
        if (strcmp(ipc, "none") == 0)
            return 0;
        if (engine == ENGINE_DOCKER && strcmp(ipc, "private") != 0) {
            type = "bind";
            options = NULL;
        }
    }
    if (shm && is_own_shm(target, type)) {
        if (bytes_parse(shm, &size) < 0)
            return error_set(err, "shared memory of \"%s\": expected bytes, or with k, m or g",
                             shm);
        if (size > 0)
            options = own = xasprintf("nosuid,noexec,nodev,mode=1777,size=%llu",
                                      (unsigned long long)size);
    }
    /* What the kind of a file is, the table of known mounts says (mounts.c). */
    const char *source = strcmp(type, "bind") == 0 ? "/" : type;
    add_mount(mounts, target, type, is_own_shm(target, type) ? "shm" : source,
              options ? options : "");
    return 0;
}

/* Whether the network begins so: "host", "container:". */
static bool is_network(const json_t *wish, const char *start)
{
    const char *network = text_of(wish, "network");
    return network && strncmp(network, start, strlen(start)) == 0;
}

static int add_own_mounts(enum engine engine, const json_t *wish, json_t *mounts, struct error *err)
{
    static const char *const writable[] = {"/run", "/tmp", "/var/tmp"};
    cleanup_json json_t *lines = split(g_profiles[engine].mounts, "\n");
    for (size_t i = 0; i < json_array_size(lines); i++)
        if (add_own_mount(engine, wish, json_string_value(json_array_get(lines, i)), mounts, err) <
            0)
            return -1;
    if (engine != ENGINE_PODMAN)
        return 0;
    if (!is_network(wish, "none"))
        add_mount(mounts, "/etc/resolv.conf", "bind", "/", "");
    if (!json_is_true(json_object_get(wish, "readonly")) ||
        json_is_false(json_object_get(wish, "readonlyTmpfs"))) {
        add_mount(mounts, "/run/.containerenv", "bind", "/", "");
        return 0;
    }
    for (size_t i = 0; i < array_count(writable); i++)
        if (!is_mounted(wish, writable[i]))
            add_mount(mounts, writable[i], "tmpfs", "tmpfs", "nosuid,nodev,tmpcopyup");
    return 0;
}

/* What an option of a tmpfs takes the place of: of two with one key the later counts. */
static char *option_key(const char *option)
{
    static const char *const pairs[][2] = {{"noexec", "exec"},
                                           {"nosuid", "suid"},
                                           {"nodev", "dev"},
                                           {"ro", "rw"},
                                           {"notmpcopyup", "tmpcopyup"}};
    for (size_t i = 0; i < array_count(pairs); i++)
        if (strcmp(option, pairs[i][0]) == 0)
            return xstrdup(pairs[i][1]);
    return xstrndup(option, strcspn(option, "="));
}

static char *merge_options(const char *text)
{
    cleanup_buffer struct buffer sum = BUFFER_INIT;
    cleanup_json json_t *seen = json_object();
    cleanup_json json_t *list = split(text, ",");
    for (size_t i = json_array_size(list); i > 0; i--) {
        const char *option = json_string_value(json_array_get(list, i - 1));
        cleanup_free char *key = option_key(option);
        if (json_object_get(seen, key) || strcmp(option, "notmpcopyup") == 0)
            json_array_remove(list, i - 1);
        json_object_set_new(seen, key, json_true());
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        buffer_append_format(&sum, "%s%s", i ? "," : "",
                             json_string_value(json_array_get(list, i)));
    return buffer_take(&sum);
}

/* Docker writes size and mode of --mount anew, Podman as they are. */
static int append_numbers(enum engine engine, const json_t *mount, struct buffer *sum,
                          struct error *err)
{
    const char *size = text_of(mount, "size"), *mode = text_of(mount, "mode");
    uint64_t bytes = 0;
    size_t unit = 0;
    if (engine != ENGINE_DOCKER) {
        if (size)
            buffer_append_format(sum, ",size=%s", size);
        if (mode)
            buffer_append_format(sum, ",mode=%s", mode);
        return 0;
    }
    if (size && bytes_parse(size, &bytes) < 0)
        return error_set(err, "tmpfs-size=%s: expected bytes, or with k, m or g", size);
    while (unit < 3 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    if (bytes > 0)
        buffer_append_format(sum, ",size=%llu%.1s", (unsigned long long)bytes, &"\0kmg"[unit]);
    if (mode)
        buffer_append_format(sum, ",mode=%lo", strtoul(mode, NULL, 8));
    return 0;
}

static int add_tmpfs(enum engine engine, const json_t *mount, json_t *mounts, struct error *err)
{
    static const char *const defaults[] = {[ENGINE_DOCKER] = "noexec,nosuid,nodev",
                                           [ENGINE_PODMAN] = "nosuid,nodev,tmpcopyup",
                                           [ENGINE_CTR] = "",
                                           [ENGINE_CRI] = "noexec,nosuid,nodev"};
    cleanup_buffer struct buffer sum = BUFFER_INIT;
    cleanup_free char *clean = path_clean(text_of(mount, "target"));
    buffer_append_format(&sum, "%s,%s%s", defaults[engine],
                         json_string_value(json_object_get(mount, "tmpfs")),
                         json_is_true(json_object_get(mount, "readonly")) ? ",ro" : "");
    if (append_numbers(engine, mount, &sum, err) < 0)
        return -1;
    cleanup_free char *options = merge_options(buffer_text(&sum));
    add_mount(mounts, engine == ENGINE_PODMAN ? clean : text_of(mount, "target"), "tmpfs", "tmpfs",
              options);
    return 0;
}

/* Podman lets no volume of its own hold devices or set-user-ID programs. */
static const char *volume_options(enum engine engine)
{
    return engine == ENGINE_PODMAN ? "nosuid,nodev" : "";
}

static json_t *mounts_of(enum engine engine, const json_t *wish, const json_t *image,
                         struct error *err)
{
    cleanup_json json_t *mounts = json_array();
    const json_t *list = json_object_get(wish, "mounts");
    const json_t *volumes = engine == ENGINE_CTR ? NULL : json_object_get(image, "Volumes");
    const char *key;
    json_t *value;
    if (add_own_mounts(engine, wish, mounts, err) < 0)
        return NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *source = text_of(m, "source") ? text_of(m, "source") : "/";
        const bool volume = json_is_true(json_object_get(m, "volume"));
        if (json_is_true(json_object_get(m, "file")))
            source = "/proc/self/exe"; /* any file will do */
        if (json_object_get(m, "tmpfs")) {
            if (add_tmpfs(engine, m, mounts, err) < 0)
                return NULL;
            continue;
        }
        const char *more = text_of(m, "options");
        cleanup_free char *all = xasprintf(
            "%s,%s,%s", volume ? volume_options(engine) : "", more ? more : "",
            json_is_true(json_object_get(m, "readonly")) ? "ro" : "");
        cleanup_free char *options = merge_options(all);
        cleanup_free char *clean = path_clean(text_of(m, "target"));
        add_mount(mounts, engine == ENGINE_CRI ? text_of(m, "target") : clean, "bind", source,
                  options);
    }
    json_object_foreach ((json_t *)(uintptr_t)volumes, key, value)
        if (!is_mounted(wish, key))
            add_mount(mounts, key, "bind", "/", volume_options(engine));
    return json_incref(mounts);
}

/* ---- limits, sysctls ---- */

/* Engines write "no limit" as 2^64 - 1, which is a real where JSON is read (base/json.h). */
static json_t *limit_value(const json_t *text)
{
    const char *digits = json_string_value(text);
    uint64_t value;
    if (digits && (strcmp(digits, "-1") == 0 || strcmp(digits, "unlimited") == 0))
        return json_real(0x1p64);
    if (!digits || digits[strspn(digits, "0123456789")] != '\0' ||
        number_parse(digits, strlen(digits), INT64_MAX, &value) < 0)
        return NULL;
    return json_integer((json_int_t)value);
}

static int add_limit(json_t *list, const char *name, const char *text, struct error *err)
{
    cleanup_json json_t *parts = split(text, ":");
    const size_t count = json_array_size(parts);
    json_t *soft = limit_value(json_array_get(parts, 0));
    json_t *hard = limit_value(json_array_get(parts, count == 2 ? 1 : 0));
    if (!soft || !hard || count > 2) {
        json_decref(soft);
        json_decref(hard);
        return error_set(err, "ulimit %s=%s: give SOFT or SOFT:HARD, -1 for no limit", name, text);
    }
    cleanup_free char *type = xasprintf("RLIMIT_%s", name);
    for (char *p = type; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    json_array_append_new(list,
                          json_pack("{s:s, s:o, s:o}", "type", type, "soft", soft, "hard", hard));
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
    const bool shared = is_network(wish, "host") || is_network(wish, "container:");
    const char *domain = text_of(wish, "domainname");
    cleanup_json json_t *lines = split(shared ? "" : g_profiles[engine].sysctls, "\n");
    if (domain && engine == ENGINE_DOCKER)
        json_object_set_new(all, "kernel.domainname", json_string(domain));
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

/* What depends on the node, or on more than is known here, is refused. */
static int check_wish(enum engine engine, const json_t *wish, const char *cwd, const json_t *args,
                      struct error *err)
{
    const char *program = json_string_value(json_array_get(args, 0));
    const char *name = strrchr(program, '/') ? strrchr(program, '/') + 1 : program;
    if (has_capability(json_object_get(wish, "capAdd"), "ALL") &&
        g_profiles[engine].capabilities_all == 0)
        return error_set(err, "all capabilities are those of the node's kernel: name them");
    if (cwd[0] != '/')
        return error_set(err, "the working directory %s is no absolute path", cwd);
    if (engine == ENGINE_PODMAN && !json_is_false(json_object_get(wish, "systemd")) &&
        (strcmp(name, "systemd") == 0 || (strcmp(name, "init") == 0 && strstr(program, "sbin/"))))
        return error_set(err,
                         "podman adds mounts for %s, which are not known to measure: say "
                         "--systemd=false",
                         program);
    return 0;
}

json_t *engine_config(enum engine engine, const json_t *wish, const json_t *image_config,
                      const char *rootfs, struct error *err)
{
    const struct profile *profile = &g_profiles[engine];
    const json_t *image = image_part(image_config);
    const char *hostname = text_of(wish, "hostname") ? text_of(wish, "hostname") : "localhost";
    const char *cwd = text_of(wish, "cwd") ? text_of(wish, "cwd") : text_of(image, "WorkingDir");
    cleanup_free char *directory = engine == ENGINE_DOCKER ? path_clean(cwd ? cwd : "/")
                                                           : xstrdup(cwd ? cwd : "/");
    cleanup_json json_t *args = command(wish, image, err);
    if (!args || check_wish(engine, wish, directory, args, err) < 0)
        return NULL;
    cleanup_json json_t *user = user_of(engine, wish, image, rootfs, err);
    cleanup_json json_t *rlimits = user ? limits(engine, wish, err) : NULL;
    cleanup_json json_t *mounts = rlimits ? mounts_of(engine, wish, image, err) : NULL;
    if (!mounts)
        return NULL;
    const bool unmasked = json_is_true(json_object_get(wish, "unmasked"));
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
                     "annotations", annotations, "mounts", json_incref(mounts), "linux",
                     "maskedPaths", split(unmasked ? "" : profile->masked, " "), "readonlyPaths",
                     split(unmasked ? "" : profile->readonly, " "), "sysctl", sysctls(engine, wish),
                     "process", "terminal", json_is_true(json_object_get(wish, "tty")), "user",
                     user, "args", args, "env", environment(profile, wish, image, hostname), "cwd",
                     directory, "rlimits", rlimits, "capabilities",
                     capability_sets(engine, wish, root), "noNewPrivileges",
                     no_new ? json_is_true(no_new) : profile->no_new_privileges);
}
