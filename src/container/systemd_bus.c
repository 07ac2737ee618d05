/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to systemd by way of libsystemd's sd-bus, loaded on demand. Runs in rune. */
#include "container/systemd_bus.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

static const char service[] = "org.freedesktop.systemd1";
static const char object[] = "/org/freedesktop/systemd1";
static const char manager[] = "org.freedesktop.systemd1.Manager";

/* As long as runc waits. */
enum { JOB_SECONDS = 30 };

/* What is used of libsystemd. */
#define BUS_FUNCTIONS(F)       \
    F(new)                     \
    F(set_address)             \
    F(set_bus_client)          \
    F(start)                   \
    F(open_system)             \
    F(flush_close_unref)       \
    F(call)                    \
    F(process)                 \
    F(wait)                    \
    F(match_signal)            \
    F(get_property_string)     \
    F(error_free)              \
    F(message_new_method_call) \
    F(message_append)          \
    F(message_appendv)         \
    F(message_append_array)    \
    F(message_open_container)  \
    F(message_close_container) \
    F(message_read)            \
    F(message_unref)

static struct {
#define MEMBER(name) __typeof__(&sd_bus_##name) name;
    BUS_FUNCTIONS(MEMBER)
} sd;

struct systemd_bus {
    sd_bus *bus;
    bool peer; /* to systemd itself, with no D-Bus daemon in between */
    bool watching;
    /* The job that is waited for, and how it ended. */
    char *job, *result;
};

struct systemd_call {
    struct systemd_bus *bus;
    sd_bus_message *message;
    char *unit;
    bool start;
    int error;
    const char *failed; /* the property that could not be written */
};

static int load_library(struct error *err)
{
    static const struct {
        const char *name;
        void *slot;
    } symbols[] = {
#define ENTRY(name) {"sd_bus_" #name, &sd.name},
        BUS_FUNCTIONS(ENTRY)};
    static bool loaded;
    if (loaded)
        return 0;
    void *library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, "the systemd cgroup driver needs libsystemd0: %s", dlerror());
    for (size_t i = 0; i < array_count(symbols); i++) {
        void *address = dlsym(library, symbols[i].name);
        if (!address)
            return error_set(err, "libsystemd.so.0 is too old: it has no %s", symbols[i].name);
        memcpy(symbols[i].slot, &address, sizeof(address));
    }
    loaded = true;
    return 0;
}

/* ---- connecting ---- */

/* The host's id of our user 0 when we are in a user namespace, else our own. */
static unsigned long owner_id(void)
{
    cleanup_buffer struct buffer map = BUFFER_INIT;
    unsigned long inside, outside;
    if (geteuid() == 0 && read_file_at(AT_FDCWD, "/proc/self/uid_map", &map, 65536, NULL) == 0 &&
        sscanf(buffer_text(&map), "%lu %lu", &inside, &outside) == 2 && inside == 0)
        return outside;
    return geteuid();
}

/* Where the user's bus listens: as the session says, else in the user's runtime directory. */
static char *user_address(struct error *err)
{
    const char *address = getenv("DBUS_SESSION_BUS_ADDRESS");
    if (address && *address)
        return xstrdup(address);
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    cleanup_free char *standard = xasprintf("/run/user/%lu", owner_id());
    const char *const places[] = {runtime && *runtime ? runtime : standard, standard};
    for (size_t i = 0; i < array_count(places); i++) {
        cleanup_free char *path = xasprintf("%s/bus", places[i]);
        if (access(path, F_OK) == 0)
            return xasprintf("unix:path=%s", path);
    }
    error_set(err,
              "no user bus at %s/bus: the systemd cgroup driver of a rootless container needs "
              "a login session of its user (packages dbus-user-session, libpam-systemd)",
              standard);
    return NULL;
}

static int connect_address(struct systemd_bus *bus, const char *address, bool peer)
{
    sd_bus *connection = NULL;
    int ret = sd.new(&connection);
    if (ret < 0)
        return ret;
    ret = sd.set_address(connection, address);
    if (ret >= 0 && !peer)
        ret = sd.set_bus_client(connection, 1);
    if (ret >= 0)
        ret = sd.start(connection);
    if (ret < 0) {
        sd.flush_close_unref(connection);
        return ret;
    }
    bus->bus = connection;
    bus->peer = peer;
    return 0;
}

static int connect_user(struct systemd_bus *bus, struct error *err)
{
    cleanup_free char *address = user_address(err);
    if (!address)
        return -1;
    int ret = connect_address(bus, address, false);
    return ret < 0 ? error_errno(err, -ret, "connect to the user's bus at %s", address) : 0;
}

static int connect_system(struct systemd_bus *bus, struct error *err)
{
    struct stat st;
    if (stat("/run/systemd/system", &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, "systemd cgroup flag passed, but systemd does not run this machine "
                              "(/run/systemd/system is missing)");
    /* The way systemctl goes as root: no daemon in between, and none needed. */
    static const char private[] = "unix:path=/run/systemd/private";
    if (geteuid() == 0 && connect_address(bus, private, true) == 0)
        return 0;
    int ret = sd.open_system(&bus->bus);
    return ret < 0 ? error_errno(err, -ret, "connect to systemd by the system bus") : 0;
}

struct systemd_bus *systemd_connect(bool user, struct error *err)
{
    struct systemd_bus *bus = xcalloc(1, sizeof(*bus));
    if (load_library(err) == 0 && (user ? connect_user(bus, err) : connect_system(bus, err)) == 0)
        return bus;
    free(bus);
    return NULL;
}

void systemd_disconnect(struct systemd_bus *bus)
{
    if (!bus)
        return;
    sd.flush_close_unref(bus->bus);
    free(bus->job);
    free(bus->result);
    free(bus);
}

/* ---- calls ---- */

/* "text (name)" of what the other side says, or the errno. */
static int bus_failure(struct error *err, int ret, const sd_bus_error *failure, const char *what)
{
    if (failure->name && failure->message)
        return error_code(err, -ret, "%s: %s (%s)", what, failure->message, failure->name);
    return error_errno(err, -ret, "%s", what);
}

char *systemd_manager_string(struct systemd_bus *bus, const char *name, struct error *err)
{
    sd_bus_error failure = SD_BUS_ERROR_NULL;
    char *value = NULL;
    int ret = sd.get_property_string(bus->bus, service, object, manager, name, &failure, &value);
    if (ret < 0) {
        bus_failure(err, ret, &failure, "ask systemd for its properties");
        value = NULL;
    }
    sd.error_free(&failure);
    return value;
}

int systemd_version(struct systemd_bus *bus)
{
    cleanup_free char *text = systemd_manager_string(bus, "Version", NULL);
    if (!text)
        return 0;
    /* "252.39-1~deb12u2", with a "v" in some versions. */
    return (int)strtol(text + strcspn(text, "0123456789"), NULL, 10);
}

static struct systemd_call *new_call(struct systemd_bus *bus, const char *unit, const char *method)
{
    struct systemd_call *call = xcalloc(1, sizeof(*call));
    call->bus = bus;
    call->unit = xstrdup(unit);
    call->error = sd.message_new_method_call(bus->bus, &call->message, service, object, manager,
                                             method);
    return call;
}

static void check(struct systemd_call *call, int ret)
{
    if (ret < 0 && call->error >= 0)
        call->error = ret;
}

struct systemd_call *systemd_start_transient(struct systemd_bus *bus, const char *unit)
{
    struct systemd_call *call = new_call(bus, unit, "StartTransientUnit");
    call->start = true;
    systemd_append(call, "ss", unit, "replace");
    systemd_open_array(call, "(sv)");
    return call;
}

struct systemd_call *systemd_set_properties(struct systemd_bus *bus, const char *unit)
{
    struct systemd_call *call = new_call(bus, unit, "SetUnitProperties");
    /* Until the unit ends: it is transient anyway. */
    systemd_append(call, "sb", unit, 1);
    systemd_open_array(call, "(sv)");
    return call;
}

void systemd_append(struct systemd_call *call, const char *signature, ...)
{
    if (call->error < 0)
        return;
    va_list values;
    va_start(values, signature);
    check(call, sd.message_appendv(call->message, signature, values));
    va_end(values);
}

void systemd_open_array(struct systemd_call *call, const char *element)
{
    if (call->error >= 0)
        check(call, sd.message_open_container(call->message, 'a', element));
}

void systemd_close_array(struct systemd_call *call)
{
    if (call->error >= 0)
        check(call, sd.message_close_container(call->message));
}

void systemd_property_open(struct systemd_call *call, const char *name, const char *signature)
{
    if (call->error < 0)
        return;
    call->failed = name;
    check(call, sd.message_open_container(call->message, 'r', "sv"));
    systemd_append(call, "s", name);
    if (call->error >= 0)
        check(call, sd.message_open_container(call->message, 'v', signature));
}

void systemd_property_close(struct systemd_call *call)
{
    systemd_close_array(call); /* of any kind: the variant ... */
    systemd_close_array(call); /* ... and the structure around it */
}

void systemd_property(struct systemd_call *call, const char *name, const char *signature, ...)
{
    systemd_property_open(call, name, signature);
    if (call->error >= 0) {
        va_list values;
        va_start(values, signature);
        check(call, sd.message_appendv(call->message, signature, values));
        va_end(values);
    }
    systemd_property_close(call);
}

void systemd_property_bytes(struct systemd_call *call, const char *name, const void *data,
                            size_t size)
{
    systemd_property_open(call, name, "ay");
    if (call->error >= 0)
        check(call, sd.message_append_array(call->message, 'y', data, size));
    systemd_property_close(call);
}

/* ---- jobs ---- */

static int on_job_removed(sd_bus_message *message, void *data, sd_bus_error *failure)
{
    struct systemd_bus *bus = data;
    const char *path = NULL, *unit = NULL, *result = NULL;
    uint32_t id;
    if (sd.message_read(message, "uoss", &id, &path, &unit, &result) < 0)
        return 0;
    if (bus->job && !bus->result && strcmp(path, bus->job) == 0)
        bus->result = xstrdup(result);
    return 0;
}

static uint64_t now_usec(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The signal is queued behind the answer, since nobody processes messages while a call waits. */
static int await_job(struct systemd_bus *bus, const char *unit, struct error *err)
{
    uint64_t end = now_usec() + (uint64_t)JOB_SECONDS * 1000000;
    while (!bus->result) {
        int ret = sd.process(bus->bus, NULL);
        if (ret > 0)
            continue;
        uint64_t now = now_usec();
        if (ret == 0 && now >= end)
            return error_code(err, ETIMEDOUT, "systemd did not finish its job on %s within %d s",
                              unit, JOB_SECONDS);
        if (ret == 0)
            ret = sd.wait(bus->bus, end - now);
        if (ret < 0 && ret != -EINTR)
            return error_errno(err, -ret, "wait for systemd's job on %s", unit);
    }
    return 0;
}

/* From now to the end of the connection. */
static int watch_jobs(struct systemd_bus *bus)
{
    if (bus->watching)
        return 0;
    bus->watching = true;
    /* A direct connection has no sender names. */
    return sd.match_signal(bus->bus, NULL, bus->peer ? NULL : service, object, manager,
                           "JobRemoved", on_job_removed, bus);
}

/* Send a call that makes a job, and wait for its end; the result is in bus->result. */
static int call_job(struct systemd_bus *bus, sd_bus_message *message, const char *unit,
                    struct error *err)
{
    free(take_ptr(bus->job));
    free(take_ptr(bus->result));
    sd_bus_error failure = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    const char *path;
    int ret = watch_jobs(bus);
    if (ret >= 0)
        ret = sd.call(bus->bus, message, (uint64_t)JOB_SECONDS * 1000000, &failure, &reply);
    if (ret >= 0)
        ret = sd.message_read(reply, "o", &path);
    if (ret >= 0) {
        bus->job = xstrdup(path);
        ret = await_job(bus, unit, err);
    } else if (failure.name && strcmp(failure.name, "org.freedesktop.systemd1.UnitExists") == 0) {
        ret = error_code(err, EEXIST, "systemd has a unit %s already", unit);
    } else if (failure.name && strcmp(failure.name, "org.freedesktop.systemd1.NoSuchUnit") == 0) {
        ret = error_code(err, ENOENT, "systemd has no unit %s", unit);
    } else {
        ret = bus_failure(err, ret, &failure, "ask systemd");
    }
    sd.error_free(&failure);
    sd.message_unref(reply);
    return ret;
}

void systemd_abandon(struct systemd_call *call)
{
    sd.message_unref(call->message);
    free(call->unit);
    free(call);
}

static int send_start(struct systemd_call *call, struct error *err)
{
    /* No auxiliary units. */
    systemd_append(call, "a(sa(sv))", 0);
    int ret = call_job(call->bus, call->message, call->unit, err);
    if (ret < 0)
        return ret;
    if (strcmp(call->bus->result, "done") == 0)
        return 0;
    systemd_reset_failed(call->bus, call->unit);
    return error_set(err, "systemd answered \"%s\"", call->bus->result);
}

int systemd_send(struct systemd_call *call, struct error *err)
{
    systemd_close_array(call);
    int ret;
    if (call->error < 0) {
        ret = error_errno(err, -call->error, "write property %s of unit %s",
                          call->failed ? call->failed : "list", call->unit);
    } else if (call->start) {
        ret = send_start(call, err);
    } else {
        sd_bus_error failure = SD_BUS_ERROR_NULL;
        ret = sd.call(call->bus->bus, call->message, 0, &failure, NULL);
        if (ret < 0)
            ret = bus_failure(err, ret, &failure, "set its properties");
        sd.error_free(&failure);
    }
    if (ret < 0 && (!err || err->code != EEXIST))
        error_wrap(err, "systemd unit %s", call->unit);
    systemd_abandon(call);
    return ret < 0 ? ret : 0;
}

void systemd_reset_failed(struct systemd_bus *bus, const char *unit)
{
    struct systemd_call *call = new_call(bus, unit, "ResetFailedUnit");
    systemd_append(call, "s", unit);
    /* Most often there is nothing left to forget. */
    if (call->error >= 0)
        (void)sd.call(bus->bus, call->message, 0, NULL, NULL);
    systemd_abandon(call);
}

int systemd_stop(struct systemd_bus *bus, const char *unit, struct error *err)
{
    struct systemd_call *call = new_call(bus, unit, "StopUnit");
    systemd_append(call, "ss", unit, "replace");
    cleanup_error struct error failure = ERROR_INIT;
    int ret = call->error < 0 ? error_errno(&failure, -call->error, "write the message")
                              : call_job(bus, call->message, unit, &failure);
    if (ret == 0 && strcmp(bus->result, "done") != 0)
        log_warning("stop systemd unit %s: systemd answered \"%s\"", unit, bus->result);
    systemd_abandon(call);
    systemd_reset_failed(bus, unit);
    if (ret < 0 && failure.code != ENOENT) {
        error_wrap(&failure, "stop systemd unit %s", unit);
        return error_move(err, &failure);
    }
    return 0;
}
