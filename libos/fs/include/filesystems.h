/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file systems and devices (libos/fs): what start, and rooms above, ask of them.
 */
#pragma once

#include "fs.h"

struct process;
struct session;
struct host_pollfd;

/* ---- what /proc shows of rooms above; every function is there ---- */
/* A socket of TCP or UDP as /proc/net tells of it (libos/net/socket_list.c). Addresses of IPv4 are
 * the first four bytes. */
struct socket_line {
    u8 local[16], remote[16];
    u16 local_port, remote_port;
    u8 state;     /* of TCP, linux/tcp.h */
    u32 received; /* bytes not read yet; of a listener: connections */
    u32 uid;
    u64 inode, dropped;
};
typedef void sysv_line(void *ctx, const char *line); /* of a table of /proc/sysvipc */
struct proc_sources {
    void (*sockets)(int domain, int type, void (*fn)(void *ctx, const struct socket_line *line),
                    void *ctx);
    u32 (*aio_events)(void); /* fs.aio-nr */
    void (*sysv_shm)(sysv_line *line, void *ctx);
    void (*sysv_sem)(sysv_line *line, void *ctx);
    void (*sysv_msg)(sysv_line *line, void *ctx);
};

struct manifest_image;
struct deployment;
/* Verify and mount the sealed root, then the deployment's mounts. -EIO with a log line when the
 * image is not what was measured. */
int fs_init(const struct manifest_image *manifest, const struct deployment *deployment,
            const struct proc_sources *sources);
/* stdio of a process: wraps host descriptors (already dup'ed; takes them) into files 0, 1, 2. */
int fs_install_stdio(struct files *files, const hostfd hfds[3], bool terminal);
/* Its terminal (as installed above) becomes the controlling terminal of the session that p
 * leads. */
void fs_take_terminal(struct process *p);

/* The numbers of a setting of /proc/sys by its last name; those that are not there keep their value
 * (fs/proc/proc_sys.c). */
void sysctl_numbers(const char *name, u32 *values, size_t count);
u64 sysctl_number(const char *name, u64 otherwise); /* one, which may be a big one */
void sysctl_set(const char *name, const char *value);

/*
 * The process whose /proc/PID directory f is, +1; -EBADF: it is none, -ESRCH: the process is gone.
 */
int proc_dir_process(struct file *f, struct process **out);

/* The controlling terminal of a session leader that ends or gives it up: SIGHUP and SIGCONT go out,
 * the tty forgets the session. */
void tty_session_end(struct session *s);

/* ---- pass-through mounts ---- */
/* A descriptor of the host for the place of a file in a pass-through mount (O_PATH), which the
 * caller closes. -ESTALE: by now another file has the name. */
hostfd hostfs_place_open(struct inode *i);
/*
 * What the enclave changes itself in a pass-through mount (fs/host/hostfs_own.c): what the host's
 * inotify tells of it is not told again. begin and end are net's, once the host watches something;
 * begin takes in what came before, end what came with it. false: it is part of another one.
 */
struct own_name {
    const struct inode *dir;
    u32 len;
    char name[256];
};
struct own_change {
    bool on;
    u32 mask; /* IN_*, what it can have caused */
    const struct inode *self;
    u32 count;
    struct own_name names[2];
};
struct outside_watch {
    bool (*begin)(void);
    void (*end)(const struct own_change *o);
};
extern struct outside_watch *g_outside_watch; /* NULL: nothing there is watched */
/* Waits for what the host tells nobody, or for a descriptor (p, may be NULL), a little longer each
 * time; *pause is 0 at first. 0: look again; -ETIMEDOUT, -EINTR. */
int host_pause(struct host_pollfd *p, u64 *pause, u64 deadline);

/* A file in memory without a name (tmpfs/memfd.c); seals: F_SEAL_*. */
int memfs_make_file(const char *name, u32 seals, struct file **out);

/* ---- mount options (options.c) ---- */
/* A number out of mount options ("uid=5,mode=700"); 0 when it is not there. */
u32 mount_option_number(const char *options, const char *name);
bool mount_option_given(const char *options, const char *name); /* with a value or without */
