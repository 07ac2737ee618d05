/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Talking to CRIU, private to the room. `criu swrk 3` serves one request on a socket that it
 * inherits; messages are protobuf (criu.proto), one a packet:
 *
 *   rune                        criu
 *   request ------------------>
 *           <------------------ NOTIFY script (some with a descriptor); criu waits
 *   NOTIFY success ----------->
 *           <------------------ response of the request's own type
 *
 * If rune dies, criu gets the end of the socket instead of an answer and rolls back: a dumped
 * container runs on, a half restored one is killed. If criu dies, rune sees the end of the socket.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "container/checkpoint.h"
#include "container/private.h"
#include "criu.pb-c.h"

/* Version as CRIU counts it: 3.17.1 is 31701. */
enum {
    CRIU_VERSION_MIN = 30000,
    CRIU_VERSION_EXTERNAL_NETNS = 31100,
    CRIU_VERSION_FREEZER_V2 = 31400,
    CRIU_VERSION_EXTERNAL_PIDNS = 31500,
    CRIU_VERSION_STATUS_READY = 31500,
    CRIU_VERSION_LSM = 31600,
};

/* Numbers of the descriptors in criu: its end of the socket, then what it inherits. */
enum { CRIU_SOCKET_FD = 3, CRIU_FIRST_FD = 4, CRIU_FDS_MAX = 8 };

struct criu_start {
    const char *program;
    const int *fds; /* become 4, 5, ... */
    size_t fd_count;
    bool own_stdio;              /* criu gets rune's stdio, else /dev/null */
    const struct foreground *fg; /* its signal mask is not for criu; may be NULL */
};

struct criu_worker {
    pid_t pid; /* 0: none */
    int socket;
};

/* Start criu; waits until it is executed, so that a missing program is this call's error. */
int criu_start(const struct criu_start *how, struct criu_worker *out, struct error *err);
/* Close the connection and wait. True when criu ended well. */
bool criu_finish(struct criu_worker *worker);

/* `fd` is a descriptor that came with the message, or -1; the handler may take it. */
struct criu_handler {
    int (*notify)(void *ctx, const char *script, pid_t pid, int *fd, struct error *err);
    /* Something came back: criu has opened what it was told about. May be NULL. */
    void (*answered)(void *ctx);
    void *ctx;
    const char *log_path; /* for messages; NULL: none */
};

/* Returns the answer, to be freed with criu__response__free_unpacked(), or NULL with err. */
Criu__Response *criu_call(struct criu_worker *worker, const Criu__Request *request,
                          const struct criu_handler *handler, struct error *err);

/* Version of the program; negative with err, also when it is older than CRIU_VERSION_MIN. */
int criu_version(const char *program, struct error *err);
/* Refuses a criu (or a kernel) without what options->pre_dump and lazy_pages need. */
int criu_check_features(const struct container_criu_options *options, Criu__Options *rpc,
                        struct error *err);

/* --- criu_request.c: requests, all on the heap --- */
Criu__Request *criu_request_new(Criu__RequestType type);
void criu_request_release(Criu__Request **request);
#define cleanup_request __attribute__((cleanup(criu_request_release)))
void criu_add_mount(Criu__Options *rpc, const char *key, const char *value);
void criu_add_external(Criu__Options *rpc, char *text);
void criu_add_inherited(Criu__Options *rpc, const char *key, int fd);
void criu_add_joined(Criu__Options *rpc, const char *type, const char *path);
void criu_add_cgroup_root(Criu__Options *rpc, const char *controller, const char *path);
/* What dump and restore have in common; opens the directories, which criu reopens through /proc. */
struct criu_directories {
    int images, work; /* -1: none */
};
int criu_common(const struct container_criu_options *options, const struct oci_config *config,
                Criu__Options *rpc, struct criu_directories *directories, struct error *err);
void criu_close_directories(struct criu_directories *directories);

/* --- criu_mounts.c: what lies outside of the container's own file systems --- */
/*
 * Tell criu of the mounts that are not part of the image, by name. For a dump `pid` is the init
 * (masked paths that do not exist are left out), for a restore it is 0 and the values are the
 * sources.
 */
int criu_external_mounts(const struct oci_config *config, const struct cgroup *cgroup,
                         const char *rootfs, const char *bundle, pid_t pid, Criu__Options *rpc,
                         struct error *err);
/* Make the mount points that a restore needs and the root filesystem lacks. */
int criu_make_mount_points(const struct oci_config *config, const char *rootfs, const char *bundle,
                           struct error *err);
