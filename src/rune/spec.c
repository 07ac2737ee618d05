/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "container/feature_names.h"
#include "rune/commands.h"

static bool rootless;
static const char *bundle;
static const struct option options[] = {
    {"bundle", "b", OPTION_TEXT, &bundle, "dir", "path to the root of the bundle directory"},
    {"rootless", NULL, OPTION_FLAG, &rootless, NULL,
     "generate a configuration for a rootless container"},
};

/* The default configuration; json_pack-like macros would hide what the user gets to see. */
static const char template[] =
    "{'ociVersion':'1.2.0',"
    "'process':{'terminal':true,'user':{'uid':0,'gid':0},'args':['sh'],"
    "'env':['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/"
    "bin','TERM=xterm'],'cwd':'/',"
    "'capabilities':{'bounding':['CAP_AUDIT_WRITE','CAP_KILL','CAP_NET_BIND_SERVICE'],"
    "'effective':['CAP_AUDIT_WRITE','CAP_KILL','CAP_NET_BIND_SERVICE'],"
    "'permitted':['CAP_AUDIT_WRITE','CAP_KILL','CAP_NET_BIND_SERVICE']},"
    "'rlimits':[{'type':'RLIMIT_NOFILE','hard':1024,'soft':1024}],'noNewPrivileges':true},"
    "'root':{'path':'rootfs','readonly':true},'hostname':'rune',"
    "'mounts':[{'destination':'/proc','type':'proc','source':'proc'},"
    "{'destination':'/dev','type':'tmpfs','source':'tmpfs',"
    "'options':['nosuid','strictatime','mode=755','size=65536k']},"
    "{'destination':'/dev/pts','type':'devpts','source':'devpts',"
    "'options':['nosuid','noexec','newinstance','ptmxmode=0666','mode=0620','gid=5']},"
    "{'destination':'/dev/shm','type':'tmpfs','source':'shm',"
    "'options':['nosuid','noexec','nodev','mode=1777','size=65536k']},"
    "{'destination':'/dev/"
    "mqueue','type':'mqueue','source':'mqueue','options':['nosuid','noexec','nodev']},"
    "{'destination':'/"
    "sys','type':'sysfs','source':'sysfs','options':['nosuid','noexec','nodev','ro']},"
    "{'destination':'/sys/fs/cgroup','type':'cgroup','source':'cgroup',"
    "'options':['nosuid','noexec','nodev','relatime','ro']}],"
    "'linux':{'resources':{'devices':[{'allow':false,'access':'rwm'}]},"
    "'namespaces':[{'type':'pid'},{'type':'network'},{'type':'ipc'},{'type':'uts'},{'type':'mount'}"
    "],"
    "'maskedPaths':['/proc/acpi','/proc/asound','/proc/kcore','/proc/keys','/proc/latency_stats',"
    "'/proc/timer_list','/proc/timer_stats','/proc/sched_debug','/sys/firmware','/proc/scsi'],"
    "'readonlyPaths':['/proc/bus','/proc/fs','/proc/irq','/proc/sys','/proc/sysrq-trigger']}}";

static json_t *parse_template(struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    buffer_append_text(&text, template);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\'')
            text.data[i] = '"';
    return json_parse(text.data, text.size, "template", err);
}

/* What an ordinary user may do: an own user namespace, the host's /sys bound, no cgroup limits. */
static void make_rootless(json_t *spec)
{
    json_t *mounts = json_object_get(spec, "mounts"), *linux_ = json_object_get(spec, "linux");
    size_t i;
    for (i = 0; i < json_array_size(mounts); i++) {
        json_t *mount = json_array_get(mounts, i);
        const char *destination = json_string_value(json_object_get(mount, "destination"));
        if (strcmp(destination, "/sys") == 0)
            json_array_set_new(mounts, i,
                               json_pack("{s:s,s:s,s:s,s:[s,s,s,s,s]}", "destination", "/sys",
                                         "type", "none", "source", "/sys", "options", "rbind",
                                         "nosuid", "noexec", "nodev", "ro"));
        if (strcmp(destination, "/dev/pts") == 0)
            json_array_remove(json_object_get(mount, "options"), 5); /* gid=5 is not mapped */
    }
    json_object_del(linux_, "resources");
    json_t *namespaces = json_object_get(linux_, "namespaces");
    for (i = 0; i < json_array_size(namespaces); i++) {
        const char *type = json_string_value(
            json_object_get(json_array_get(namespaces, i), "type"));
        if (strcmp(type, "network") == 0)
            json_array_remove(namespaces, i--);
    }
    json_array_append_new(namespaces, json_pack("{s:s}", "type", "user"));
    const struct {
        const char *key;
        unsigned id;
    } maps[] = {{"uidMappings", geteuid()}, {"gidMappings", getegid()}};
    for (i = 0; i < array_count(maps); i++)
        json_object_set_new(linux_, maps[i].key,
                            json_pack("[{s:i,s:I,s:i}]", "containerID", 0, "hostID",
                                      (json_int_t)maps[i].id, "size", 1));
}

static int run(int argc, char **argv, struct error *err)
{
    if (bundle && chdir(bundle) < 0)
        return error_errno(err, errno, "open bundle %s", bundle);
    cleanup_json json_t *spec = parse_template(err);
    if (!spec)
        return -1;
    if (rootless)
        make_rootless(spec);
    if (features_cgroup_unified())
        json_array_append_new(json_object_get(json_object_get(spec, "linux"), "namespaces"),
                              json_pack("{s:s}", "type", "cgroup"));
    cleanup_free char *text = json_text(spec, JSON_INDENT(4));
    cleanup_close int fd = open("config.json", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, "File config.json exists. Remove it first");
    if (fd < 0)
        return error_errno(err, errno, "create config.json");
    int ret = write_all(fd, text, strlen(text));
    return ret < 0 ? error_errno(err, -ret, "write config.json") : 0;
}

const struct command command_spec = {
    .name = "spec",
    .arguments = "",
    .summary = "write a config.json to start from",
    .description =
        "Writes the configuration of a container with a shell into the bundle directory. With "
        "--rootless it fits a user without privileges.",
    .examples = "rune spec\n"
                "rune spec --bundle /srv/web --rootless\n",
    .options = options,
    .option_count = array_count(options),
    .max_arguments = 0,
    .run = run,
};
