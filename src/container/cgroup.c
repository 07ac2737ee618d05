/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of a container, whatever the layout: v1 (also the hybrid layout, whose controllers
 * are v1), v2, and either made by us or by systemd. A container is known by a directory for each
 * hierarchy (struct cgroup.paths).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/procfs.h"
#include "container/feature_names.h"
#include "container/private.h"
#include "container/systemd_bus.h"

static const char cgroup_mount[] = "/sys/fs/cgroup";

/* True when the machine has only the unified hierarchy. */
static bool cgroup_is_unified(void)
{
    struct statfs fs;
    return statfs(cgroup_mount, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

bool features_cgroup_unified(void)
{
    return cgroup_is_unified();
}

/* ---- where the cgroups are ---- */

/* The directory of a v1 hierarchy below /sys/fs/cgroup, malloc'd; NULL when it is not mounted. */
static char *hierarchy_mount(const char *controllers)
{
    if (strncmp(controllers, "name=", 5) == 0)
        controllers += 5;
    char *path = xasprintf("%s/%s", cgroup_mount, controllers);
    struct statfs fs;
    if (statfs(path, &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
        return path;
    free(path);
    /* "cpuacct,cpu" may be mounted as "cpu,cpuacct": any one of its names leads there by a link. */
    cleanup_free char *first = xstrndup(controllers, strcspn(controllers, ","));
    path = xasprintf("%s/%s", cgroup_mount, first);
    if (statfs(path, &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
        return path;
    free(path);
    return NULL;
}

const char cgroup_hybrid_key[] = "unified";

static char *hybrid_mount(void)
{
    struct statfs fs;
    static const char path[] = "/sys/fs/cgroup/unified";
    return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC ? xstrdup(path) : NULL;
}

/*
 * `relative` is where the container goes: absolute from the top of the hierarchy, else below our
 * own cgroup (v1) or beside it (v2). With the systemd driver it is relative to where systemd is.
 */
static int plan_v1(const char *relative, bool systemd, json_t *paths, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    enum { CGROUP_FILE_MAX = 1 << 20 };
    const char *file = systemd ? "/proc/1/cgroup" : "/proc/self/cgroup";
    if (read_file_at(AT_FDCWD, file, &text, CGROUP_FILE_MAX, err) < 0)
        return -1;
    char *rest = text.data, *controllers, *own;
    while (procfs_next_cgroup(&rest, &controllers, &own)) {
        /* "0::" is the unified hierarchy, without controllers in the hybrid layout. */
        cleanup_free char *mount = *controllers ? hierarchy_mount(controllers) : hybrid_mount();
        if (!mount)
            continue;
        char *scope = systemd ? strstr(own, "/init.scope") : NULL;
        if (scope)
            *scope = '\0';
        cleanup_free char *joined = relative[0] == '/' && !systemd
                                        ? xasprintf("%s%s", mount, relative)
                                        : xasprintf("%s%s/%s", mount, own, relative);
        cleanup_free char *path = path_clean(joined);
        if (strncmp(path, mount, strlen(mount)) != 0 || strlen(path) == strlen(mount))
            return error_set(err, "cgroupsPath %s leads out of the cgroup hierarchy", relative);
        json_object_set_new(paths, *controllers ? controllers : cgroup_hybrid_key,
                            json_string(path));
    }
    return 0;
}

/* Our own directory in every hierarchy of version 1. */
static int own_directories(json_t *paths, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    enum { CGROUP_FILE_MAX = 1 << 20 };
    if (read_file_at(AT_FDCWD, "/proc/self/cgroup", &text, CGROUP_FILE_MAX, err) < 0)
        return -1;
    char *rest = text.data, *controllers, *own;
    while (procfs_next_cgroup(&rest, &controllers, &own)) {
        cleanup_free char *mount = *controllers ? hierarchy_mount(controllers) : NULL;
        if (!mount)
            continue;
        cleanup_free char *joined = xasprintf("%s%s", mount, own);
        cleanup_free char *path = path_clean(joined);
        json_object_set_new(paths, controllers, json_string(path));
    }
    return 0;
}

json_t *cgroup_visible(const struct cgroup *cgroup, struct error *err)
{
    if (cgroup->v2 || !cgroup->optional)
        return json_incref(cgroup->paths);
    json_t *visible = json_object();
    if (own_directories(visible, err) < 0) {
        json_decref(visible);
        return NULL;
    }
    json_object_update(visible, cgroup->paths);
    return visible;
}

static int plan_v2(const char *relative, json_t *paths, struct error *err)
{
    cleanup_free char *joined = NULL;
    if (relative[0] == '/') {
        joined = xasprintf("%s%s", cgroup_mount, relative);
    } else {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        if (read_file_at(AT_FDCWD, "/proc/self/cgroup", &text, 65536, err) < 0)
            return -1;
        char *rest = text.data, *controllers, *own;
        bool found = false;
        while (!found && procfs_next_cgroup(&rest, &controllers, &own))
            found = !*controllers;
        if (!found)
            return error_set(err, "/proc/self/cgroup has no unified hierarchy");
        /*
         * Beside our own cgroup, as runc: ours has processes in it, and a cgroup with processes
         * gives its children no controllers.
         */
        char *slash = strrchr(own, '/');
        if (slash)
            *slash = '\0';
        joined = xasprintf("%s%s/%s", cgroup_mount, own, relative);
    }
    cleanup_free char *path = path_clean(joined);
    if (strncmp(path, cgroup_mount, strlen(cgroup_mount)) != 0 ||
        strlen(path) == strlen(cgroup_mount))
        return error_set(err, "cgroupsPath %s leads out of the cgroup hierarchy", relative);
    json_object_set_new(paths, "", json_string(path));
    return 0;
}

/* The initial user namespace always has this inode number (linux/proc_ns.h). */
static bool in_user_namespace(void)
{
    static const ino_t initial = 0xEFFFFFFD;
    struct stat st;
    return stat("/proc/self/ns/user", &st) == 0 && st.st_ino != initial;
}

/* Whether cgroups are a favour that may be refused; with systemd also whose manager to ask. */
static bool is_rootless(const struct container_create_options *options)
{
    if (options->rootless != CONTAINER_ROOTLESS_AUTO)
        return options->rootless == CONTAINER_ROOTLESS_ON;
    if (geteuid() != 0)
        return true;
    if (!in_user_namespace())
        return false;
    /* Root of a user namespace may have a systemd of its own, or be a user of the one outside. */
    return !options->systemd_cgroup || access("/run/systemd/private", W_OK) < 0;
}

int cgroup_plan(const struct container_create_options *options, const struct oci_config *config,
                struct cgroup *out, struct error *err)
{
    *out = (struct cgroup){.v2 = cgroup_is_unified(), .paths = json_object()};
    const char *relative = config->cgroups_path ? config->cgroups_path : options->id;
    out->chosen = config->cgroups_path != NULL;
    out->optional = is_rootless(options);
    cleanup_free char *place = NULL;
    if (options->systemd_cgroup) {
        out->systemd = true;
        if (cgroup_systemd_plan(out, config->cgroups_path, options->id, &place, err) < 0)
            return -1;
        relative = place;
    }
    return out->v2 ? plan_v2(relative, out->paths, err)
                   : plan_v1(relative, out->systemd, out->paths, err);
}

void cgroup_from_state(const struct oci_state *state, struct cgroup *out)
{
    *out = (struct cgroup){.systemd = state->systemd_cgroup, .optional = state->rootless};
    out->paths = state->cgroup_paths ? json_incref(state->cgroup_paths) : json_object();
    out->v2 = json_object_get(out->paths, "") != NULL;
    const char *unit = json_string_value(json_object_get(state->json, "systemdUnit"));
    out->unit = unit ? xstrdup(unit) : NULL;
}

void cgroup_release(struct cgroup *cgroup)
{
    json_decref(cgroup->paths);
    systemd_disconnect(cgroup->bus);
    free(cgroup->unit);
    free(cgroup->name);
    free(cgroup->slice);
    *cgroup = (struct cgroup){0};
}

static bool lists(const char *controllers, const char *name)
{
    size_t length = strlen(name);
    for (const char *p = controllers; *p;) {
        size_t n = strcspn(p, ",");
        if (n == length && strncmp(p, name, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

const char *cgroup_path(const struct cgroup *cgroup, const char *controller)
{
    if (cgroup->v2)
        return json_string_value(json_object_get(cgroup->paths, ""));
    const char *key;
    json_t *value;
    json_object_foreach (cgroup->paths, key, value) {
        if (lists(key, controller))
            return json_string_value(value);
    }
    return NULL;
}

/* Any one directory that holds all processes. */
static const char *any_path(const struct cgroup *cgroup)
{
    static const char *const preferred[] = {"freezer", "pids", "devices", "memory"};
    for (size_t i = 0; i < array_count(preferred); i++) {
        const char *path = cgroup_path(cgroup, preferred[i]);
        if (path && access(path, F_OK) == 0)
            return path;
    }
    const char *key;
    json_t *value;
    json_object_foreach (cgroup->paths, key, value) {
        if (access(json_string_value(value), F_OK) == 0)
            return json_string_value(value);
    }
    return NULL;
}

static bool cgroup_exists(const struct cgroup *cgroup)
{
    return any_path(cgroup) != NULL;
}

/* ---- making and entering ---- */

/* A cgroup that was there before: a frozen one would stop us for good, processes in it are worth a
 * word. */
static int check_existing(const struct cgroup *cgroup, struct error *err)
{
    if (cgroup_frozen(cgroup))
        return error_set(err, "container's cgroup unexpectedly frozen");
    cleanup_free pid_t *pids = NULL;
    size_t count = 0;
    if (cgroup_pids(cgroup, &pids, &count, err) < 0)
        return -1;
    if (count > 0)
        log_warning("container's cgroup is not empty: %zu process(es) found", count);
    return 0;
}

static int make(struct cgroup *cgroup, const struct oci_config *config, pid_t pid,
                struct error *err)
{
    if (cgroup->systemd)
        return cgroup_systemd_create(cgroup, config, pid, err);
    int ret = cgroup->v2 ? cgroup_v2_create(cgroup, err) : cgroup_v1_create(cgroup, err);
    if (ret < 0)
        return error_wrap(err, "unable to apply cgroup configuration");
    return cgroup->existed ? check_existing(cgroup, err) : 0;
}

/* A rootless container goes without a cgroup that its user may not make, unless cgroupsPath asks
 * for that one. */
static bool may_go_without(const struct cgroup *cgroup, int code)
{
    return cgroup->optional && !cgroup->chosen && cgroup->v2 && !cgroup->systemd &&
           (code == EACCES || code == EPERM || code == EROFS || code == ENOENT);
}

static int cgroup_set(const struct cgroup *cgroup, const struct oci_resources *resources,
                      struct error *err);

int cgroup_create(struct cgroup *cgroup, const struct oci_config *config, pid_t pid,
                  struct error *err)
{
    cleanup_error struct error failure = ERROR_INIT;
    if (make(cgroup, config, pid, &failure) < 0) {
        if (!may_go_without(cgroup, failure.code))
            return error_move(err, &failure);
        log_debug("no cgroup for this rootless container: %s", error_text(&failure));
        json_object_clear(cgroup->paths);
    }
    if (cgroup->v2 && json_object_size(cgroup->paths) > 0 &&
        cgroup_v2_delegate(cgroup, config, err) < 0)
        return -1;
    return cgroup_set(cgroup, &config->resources, err);
}

int cgroup_entrances(const struct cgroup *cgroup, int **files, size_t *count, int *dir,
                     struct error *err)
{
    *files = NULL;
    *count = 0;
    *dir = -1;
    if (json_object_size(cgroup->paths) == 0)
        return 0;
    if (cgroup->v2) {
        const char *path = cgroup_path(cgroup, "");
        *dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *dir < 0 ? error_errno(err, errno, "open %s", path) : 0;
    }
    *files = xcalloc(json_object_size(cgroup->paths), sizeof(int));
    const char *key;
    json_t *value;
    json_object_foreach (cgroup->paths, key, value) {
        if (strcmp(key, cgroup_hybrid_key) == 0) {
            *dir = open(json_string_value(value), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (*dir < 0)
                return error_errno(err, errno, "open %s", json_string_value(value));
            continue;
        }
        /*
         * `tasks`, not cgroup.procs: a thread that moves itself takes no global lock, while a write
         * to cgroup.procs waits for an RCU grace period of all CPUs. Our child has one thread only.
         */
        cleanup_free char *file = path_join(json_string_value(value), "tasks");
        int fd = open(file, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            return error_errno(err, errno, "open %s", file);
        (*files)[(*count)++] = fd;
    }
    return 0;
}

int cgroup_attach(const struct cgroup *cgroup, pid_t pid, struct error *err)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d", (int)pid);
    const char *key;
    json_t *value;
    json_object_foreach (cgroup->paths, key, value) {
        cleanup_free char *file = path_join(json_string_value(value), "cgroup.procs");
        if (write_file_at(AT_FDCWD, file, text, (size_t)length, err) < 0)
            return -1;
    }
    return 0;
}

static int cgroup_set(const struct cgroup *cgroup, const struct oci_resources *resources,
                      struct error *err)
{
    if (cgroup->v2)
        return cgroup_v2_set(cgroup, resources, err);
    return cgroup_v1_set(cgroup, resources, err);
}

int cgroup_update(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
    /* systemd first: its values are rounded, the files say what was asked for. */
    if (cgroup->systemd && cgroup_systemd_set(cgroup, resources, err) < 0)
        return -1;
    return cgroup_set(cgroup, resources, err);
}

/* ---- processes ---- */

struct pid_list {
    pid_t *items;
    size_t count, room;
};

static int read_pids(int dir, struct pid_list *list)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    enum { PROCS_MAX = 64 << 20 };
    cleanup_error struct error err = ERROR_INIT;
    int ret = read_file_at(dir, "cgroup.procs", &text, PROCS_MAX, &err);
    if (ret < 0)
        return ret == -ENODEV || ret == -ENOENT || ret == -EOPNOTSUPP ? 0 : ret;
    for (char *p = text.data; p && *p;) {
        char *end;
        long pid = strtol(p, &end, 10);
        if (end == p)
            break;
        if (list->count == list->room) {
            list->room = list->room ? list->room * 2 : 32;
            list->items = xreallocarray(list->items, list->room, sizeof(pid_t));
        }
        if (pid > 0 && pid <= INT32_MAX)
            list->items[list->count++] = (pid_t)pid;
        p = end + strspn(end, "\n");
    }
    return 0;
}

static int collect_pids(int parent, const char *name, struct pid_list *list)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -errno;
    }
    int ret = read_pids(dirfd(dir), list);
    for (struct dirent *entry; ret == 0 && (entry = readdir(dir));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            ret = collect_pids(dirfd(dir), entry->d_name, list);
    return ret;
}

int cgroup_pids(const struct cgroup *cgroup, pid_t **pids, size_t *count, struct error *err)
{
    *pids = NULL;
    *count = 0;
    const char *path = any_path(cgroup);
    if (!path)
        return 0;
    struct pid_list list = {0};
    int ret = collect_pids(AT_FDCWD, path, &list);
    if (ret < 0) {
        free(list.items);
        return error_errno(err, -ret, "read the processes of %s", path);
    }
    *pids = list.items;
    *count = list.count;
    return 0;
}

int cgroup_signal_all(const struct cgroup *cgroup, int signal, struct error *err)
{
    const char *unified = cgroup->v2 ? cgroup_path(cgroup, "") : NULL;
    if (unified && signal == SIGKILL) {
        cleanup_free char *file = path_join(unified, "cgroup.kill");
        if (write_file_at(AT_FDCWD, file, "1", 1, NULL) == 0)
            return 0;
    }
    if (!cgroup_exists(cgroup))
        return 0;
    /* Frozen, so that nothing forks away between the list and the signals. */
    bool was_frozen = cgroup_frozen(cgroup);
    bool froze = !was_frozen && cgroup_freeze(cgroup, true, NULL) == 0;
    cleanup_free pid_t *pids = NULL;
    size_t count = 0;
    int ret = cgroup_pids(cgroup, &pids, &count, err);
    for (size_t i = 0; i < count && ret == 0; i++)
        if (kill(pids[i], signal) < 0 && errno != ESRCH)
            ret = error_errno(err, errno, "signal process %d", (int)pids[i]);
    if (froze || (was_frozen && signal == SIGKILL))
        (void)cgroup_freeze(cgroup, false, NULL);
    return ret;
}

/* ---- freezer ---- */

static void nap(long milliseconds)
{
    struct timespec time = {.tv_nsec = milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static int freeze_v1(const char *path, bool frozen, struct error *err)
{
    cleanup_free char *file = path_join(path, "freezer.state");
    const char *wanted = frozen ? "FROZEN" : "THAWED";
    enum { TRIES = 1000 };
    for (int i = 0; i < TRIES; i++) {
        if (write_file_at(AT_FDCWD, file, wanted, 6, err) < 0)
            return -1;
        cleanup_buffer struct buffer state = BUFFER_INIT;
        if (read_file_at(AT_FDCWD, file, &state, 64, err) < 0)
            return -1;
        if (strncmp(buffer_text(&state), wanted, 6) == 0)
            return 0;
        /* A process that is being created can hold the freezer up: thaw now and then to let it
         * through. */
        if (frozen && i % 25 == 24)
            (void)write_file_at(AT_FDCWD, file, "THAWED", 6, NULL);
        nap(i < 10 ? 1 : 10);
    }
    (void)write_file_at(AT_FDCWD, file, "THAWED", 6, NULL);
    return error_set(err, "unable to freeze %s", path);
}

static int freeze_v2(const char *path, bool frozen, struct error *err)
{
    cleanup_free char *file = path_join(path, "cgroup.freeze");
    if (write_file_at(AT_FDCWD, file, frozen ? "1" : "0", 1, err) < 0)
        return -1;
    cleanup_free char *events = path_join(path, "cgroup.events");
    const char *wanted = frozen ? "frozen 1" : "frozen 0";
    for (int i = 0; i < 1000; i++) {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        if (read_file_at(AT_FDCWD, events, &text, 4096, err) < 0)
            return -1;
        if (strstr(buffer_text(&text), wanted))
            return 0;
        nap(i < 10 ? 1 : 10);
    }
    return error_set(err, "unable to %s %s", frozen ? "freeze" : "thaw", path);
}

int cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct error *err)
{
    const char *path = cgroup_path(cgroup, "freezer");
    if (!path)
        return error_set(err, "the container has no freezer cgroup");
    return cgroup->v2 ? freeze_v2(path, frozen, err) : freeze_v1(path, frozen, err);
}

bool cgroup_frozen(const struct cgroup *cgroup)
{
    const char *path = cgroup_path(cgroup, "freezer");
    if (!path)
        return false;
    cleanup_free char *file = path_join(path, cgroup->v2 ? "cgroup.freeze" : "freezer.state");
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(AT_FDCWD, file, &text, 64, NULL) < 0)
        return false;
    return cgroup->v2 ? buffer_text(&text)[0] == '1' : buffer_text(&text)[0] == 'F';
}

/* ---- removal ---- */

/* The directory and the ones a container made in it, deepest first. */
static int remove_tree(int parent, const char *name)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    int code = errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -code;
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -code;
    }
    bool had_children = false;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        had_children = true;
        int ret = remove_tree(dirfd(dir), entry->d_name);
        if (ret < 0)
            return ret;
    }
    if (!had_children)
        return -code;
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int cgroup_remove(struct cgroup *cgroup, struct error *err)
{
    if (cgroup->foreign)
        return 0;
    /* First: what systemd knows it removes itself, and it must not hear of an end it did not
     * want. */
    cleanup_error struct error failure = ERROR_INIT;
    if (cgroup->unit && cgroup_systemd_remove(cgroup, &failure) < 0)
        log_warning("%s", error_text(&failure));
    const char *key;
    json_t *value;
    int ret = 0;
    json_object_foreach (cgroup->paths, key, value) {
        const char *path = json_string_value(value);
        int one = 0;
        /* Dying processes leave their cgroup a little later than they are gone. */
        for (int i = 0; i < 200; i++) {
            one = remove_tree(AT_FDCWD, path);
            if (one != -EBUSY || cgroup->existed)
                break;
            nap(i < 10 ? 1 : 10);
        }
        /* Somebody else's processes in a directory that was there before us: it stays. */
        if (one == -EBUSY && cgroup->existed)
            continue;
        if (one < 0 && !(cgroup->optional && (one == -EACCES || one == -EPERM || one == -EROFS)))
            ret = error_errno(err, -one, "remove cgroup %s", path);
    }
    return ret;
}
