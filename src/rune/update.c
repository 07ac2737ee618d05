/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/enclave.h"
#include "rune/commands.h"

static const char *resources_file;

/* Every single flag, with the place of its value in a LinuxResources object. */
enum unit {
    NUMBER,
    BYTES,
    TEXT,
};

static struct single {
    const char *flag, *value_name, *help;
    const char *object, *member; /* member NULL: handled apart */
    enum unit unit;
    const char *value;
} singles[] = {
    {"blkio-weight", "N", "specifies per cgroup weight, range is from 10 to 1000", "blockIO",
     "weight", NUMBER},
    {"cpu-period", "N",
     "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default", "cpu",
     "period", NUMBER},
    {"cpu-quota", "N", "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period",
     "cpu", "quota", NUMBER},
    {"cpu-burst", "N", "CPU CFS hardcap burst limit (in usecs)", "cpu", "burst", NUMBER},
    {"cpu-share", "N", "CPU shares (relative weight vs. other containers)", "cpu", "shares",
     NUMBER},
    {"cpu-rt-period", "N",
     "CPU realtime period to be used for hardcapping (in usecs). 0 to use system default", "cpu",
     "realtimePeriod", NUMBER},
    {"cpu-rt-runtime", "N", "CPU realtime hardcap limit (in usecs)", "cpu", "realtimeRuntime",
     NUMBER},
    {"cpuset-cpus", "list", "CPU(s) to use", "cpu", "cpus", TEXT},
    {"cpuset-mems", "list", "memory node(s) to use", "cpu", "mems", TEXT},
    {"cpu-idle", "N", "set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE", "cpu",
     "idle", NUMBER},
    {"kernel-memory", "bytes", "(obsoleted; do not use)", "memory", "kernel", BYTES},
    {"kernel-memory-tcp", "bytes", "(obsoleted; do not use)", "memory", "kernelTCP", BYTES},
    {"memory", "bytes", "memory limit (in bytes)", "memory", "limit", BYTES},
    {"memory-reservation", "bytes", "memory reservation or soft_limit (in bytes)", "memory",
     "reservation", BYTES},
    {"memory-swap", "bytes",
     "total memory usage (memory + swap); set '-1' to enable unlimited swap", "memory", "swap",
     BYTES},
    {"pids-limit", "N", "maximum pids allowed in the container", "pids", "limit", NUMBER},
    {"l3-cache-schema", "text", "the string of Intel RDT/CAT L3 cache schema", "intelRdt",
     "l3CacheSchema", TEXT},
    {"mem-bw-schema", "text", "the string of Intel RDT/MBA memory bandwidth schema", "intelRdt",
     "memBwSchema", TEXT},
};

static struct option options[array_count(singles) + 1] = {
    {"resources", "r", OPTION_TEXT, &resources_file, "file",
     "path to the file containing the resources to update or '-' to read from the standard input"},
};

/* Filled before main() so that help, man page and completion see the flags. */
__attribute__((constructor)) static void fill_options(void)
{
    for (size_t i = 0; i < array_count(singles); i++)
        options[i + 1] = (struct option){
            singles[i].flag, NULL, OPTION_TEXT, &singles[i].value, singles[i].value_name,
            singles[i].help, NULL};
}

/* "50M", "1g", "67108864", "-1": binary units, as Docker's. */
static int parse_bytes(const char *text, json_int_t *out)
{
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || errno)
        return -1;
    while (*end == ' ')
        end++;
    int shift = 0;
    static const char letters[] = "kmgtp";
    if (*end) {
        const char *at = strchr(letters, *end | 32);
        if (at && (*end | 32))
            shift = 10 * (int)(at - letters + 1), end++;
        if (*end == 'i')
            end++;
        if (*end == 'b' || *end == 'B')
            end++;
    }
    if (*end)
        return -1;
    *out = (json_int_t)(number * (double)(1ll << shift));
    return 0;
}

static int add_single(json_t *changes, const struct single *single, struct error *err)
{
    json_t *value = NULL;
    if (single->unit == TEXT) {
        value = json_string(single->value);
    } else {
        char *end;
        json_int_t number = 0;
        errno = 0;
        bool good;
        if (single->unit == BYTES) {
            good = parse_bytes(single->value, &number) == 0;
        } else {
            number = strtoll(single->value, &end, 10);
            good = end != single->value && !*end && !errno;
        }
        if (!good)
            return error_set(err, "invalid value for %s: %s", single->flag, single->value);
        value = json_integer(number);
    }
    json_t *object = json_object_get(changes, single->object);
    if (!object) {
        object = json_object();
        json_object_set_new(changes, single->object, object);
    }
    json_object_set_new(object, single->member, value);
    return 0;
}

static json_t *read_changes(struct error *err)
{
    if (resources_file) {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        enum { RESOURCES_MAX = 4 << 20 };
        if (strcmp(resources_file, "-") != 0)
            return json_parse_file(AT_FDCWD, resources_file, RESOURCES_MAX, err);
        int ret = read_all(STDIN_FILENO, &text, RESOURCES_MAX);
        if (ret < 0) {
            error_errno(err, -ret, "read the standard input");
            return NULL;
        }
        return json_parse(buffer_text(&text), text.size, "standard input", err);
    }
    json_t *changes = json_object();
    for (size_t i = 0; i < array_count(singles); i++) {
        if (!singles[i].value || !*singles[i].value)
            continue;
        if (add_single(changes, &singles[i], err) < 0) {
            json_decref(changes);
            return NULL;
        }
    }
    return changes;
}

static json_t *member_object(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);
    if (json_is_object(object))
        return object;
    object = json_object();
    json_object_set_new(parent, name, object);
    return object;
}

/* The stored configuration with the changes in it. */
static int merge(const struct oci_config *old, json_t *changes, struct oci_config **out,
                 struct error *err)
{
    json_t *linux_ = member_object(old->json, "linux");
    json_t *resources = member_object(linux_, "resources");
    /* The limit goes and nobody says what becomes of the one with swap: it goes too. */
    json_t *memory = json_object_get(changes, "memory");
    json_t *limit = json_object_get(memory, "limit");
    if (json_is_integer(limit) && json_integer_value(limit) == -1 &&
        !json_object_get(memory, "swap"))
        json_object_set_new(memory, "swap", json_integer(-1));
    json_object_del(changes, "devices"); /* rules of a running container stay */
    json_t *rdt = json_object_get(changes, "intelRdt");
    if (rdt)
        json_object_update_recursive(member_object(linux_, "intelRdt"), rdt);
    json_object_del(changes, "intelRdt");
    json_object_update_recursive(resources, changes);
    return oci_config_from_json(old->json, "resources", out, err);
}

static int run(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    cleanup_config struct oci_config *old = NULL, *config = NULL;
    if (open_container(argv[0], &container, err) < 0 || container_config(container, &old, err) < 0)
        return -1;
    cleanup_json json_t *changes = read_changes(err);
    if (!changes)
        return -1;
    if (!json_is_object(changes))
        return error_set(err, "the resources are not a JSON object");
    bool rdt = json_object_get(changes, "intelRdt") != NULL;
    if (merge(old, changes, &config, err) < 0)
        return -1;
    if (rdt && access("/sys/fs/resctrl/schemata", F_OK) < 0)
        return error_set(
            err, "Intel RDT: l3 cache schema and memory bandwidth schema are not supported");
    struct oci_resources resources = config->resources;
    resources.device_count = 0;
    if (container_update(container, &resources, err) < 0)
        return -1;
    cleanup_free char *text = json_text(config->json, JSON_COMPACT);
    if (replace_file_at(container->dir, "config.json", text, strlen(text), 0600, false, err) < 0)
        return error_wrap(err, "the limits hold, but are not saved");
    return container->state->enclave ? enclave_update(container->dir, &resources, err) : 0;
}

const struct command command_update = {
    .name = "update",
    .arguments = "<container-id>",
    .summary = "change the resource limits of a container",
    .description =
        "Changes the limits that the options name; others stay. --resources reads them from a "
        "file, or from the standard input if the file is \"-\": a LinuxResources object of the "
        "runtime specification, in which all members are optional.",
    .examples = "rune update --memory 512M web\n"
                "rune update --resources limits.json web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
