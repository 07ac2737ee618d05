/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host as the LibOS sees it: one function for each ocall of abi/boundary.h. Each copies its
 * arguments out of the enclave, leaves it, copies the answer in once and checks it against the
 * contract (a length never exceeds what was asked, an errno is one of Linux's); an answer that
 * breaks the contract panics. All values they return are untrusted: facts about the host's files
 * and sockets, nothing more. Buffers are enclave memory (kernel side); of any size, cut up as
 * needed. Return: >= 0, or negative errno; what gives a descriptor returns a hostfd (types.h), which
 * is no number. Blocking is never left to these: host descriptors are used non-blocking and waited
 * for with thread_wait() (thread.h). The implementation goes through g_host_ops (a table), so that a
 * hostile host can be simulated by swapping it.
 */
#pragma once

#include "types.h"
#include "sgx_arch.h"

struct host_memory; /* hostmem.h */
struct boundary_boot;

struct host_stat { /* untrusted */
    u64 dev, ino, nlink, rdev, size, blocks, blksize;
    u32 mode, uid, gid;
    i64 atime_sec, mtime_sec, ctime_sec;
    u32 atime_nsec, mtime_nsec, ctime_nsec;
};
struct host_statfs {
    u64 type, bsize, blocks, bfree, bavail, files, ffree, namelen, flags;
};
struct host_pollfd {
    hostfd hfd;
    u16 events, revents;
};

/* descriptors */
ssize_t host_read(hostfd hfd, void *buf, size_t n,
                  off_t off); /* off -1: the descriptor's own position */
ssize_t host_write(hostfd hfd, const void *buf, size_t n,
                   off_t off); /* -EAGAIN when it would block */
int host_close(hostfd hfd);
hostfd host_dup(hostfd hfd);
off_t host_lseek(hostfd hfd, off_t off, int whence);
int host_ioctl(hostfd hfd, u32 cmd, void *arg,
               size_t arg_size); /* whitelisted: TCGETS*, TCSETS*, TIOC[GS]WINSZ, FIONREAD, ... */
int host_poll(struct host_pollfd *fds,
              size_t count); /* no waiting; returns how many have revents */
/* A host epoll instance behind a LibOS epoll with host descriptors. op: EPOLL_CTL_*; events: EPOLL*
 * with ET and ONESHOT; data comes back in host_epoll_event (untrusted: epoll_ready.c looks it up).
 * host_epoll_wait does not wait; at most count events. */
struct host_epoll_event {
    u32 events, data;
};
hostfd host_epoll_create(void);
int host_epoll_ctl(hostfd epfd, int op, hostfd hfd, u32 events, u32 data);
int host_epoll_wait(hostfd epfd, struct host_epoll_event *events, size_t count);
int host_fsync(hostfd hfd, bool data_only);
int host_ftruncate(hostfd hfd, u64 size);
int host_fallocate(hostfd hfd, int mode, u64 off, u64 n);
/* Locks that are the host descriptor's open description's, end inclusive; neither call waits.
 * whole: flock(2). type: F_RDLCK, F_WRLCK, F_UNLCK. */
int host_lock(hostfd hfd, bool whole, int type, u64 start, u64 end);
/* Could a lock on [*start, *end] be had? 0: yes; 1: no, and they say which one is there. */
int host_lock_test(hostfd hfd, bool *write, u64 *start, u64 *end);

/* pass-through files: dir is a mount's root descriptor, path is relative to it and resolved beneath
 * it by the host */
hostfd host_open(hostfd dir, const char *path, int flags, u32 mode);
int host_stat(hostfd dir, const char *path, bool follow,
              struct host_stat *st); /* path "": dir itself */
int host_statfs(hostfd hfd, struct host_statfs *st);
/* linux_dirent64 records, each checked for its bounds and for a name without '/' and NUL; 0 at the
 * end */
ssize_t host_getdents(hostfd hfd, void *buf, size_t n);
int host_mkdir(hostfd dir, const char *path, u32 mode);
int host_unlink(hostfd dir, const char *path, bool is_dir);
int host_rename(hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path,
                u32 flags);
int host_link(hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path);
int host_symlink(const char *target, hostfd dir, const char *path);
ssize_t host_readlink(hostfd dir, const char *path, char *buf, size_t n); /* no NUL in it */
int host_chmod(hostfd dir, const char *path, u32 mode);
int host_chown(hostfd dir, const char *path, u32 uid, u32 gid, bool follow);
int host_utimens(hostfd dir, const char *path, const i64 times[4],
                 bool follow); /* sec,nsec,sec,nsec; nsec may be UTIME_* */
/* The host's inotify, never waiting. file: of host_open() with O_PATH; the watch's number. */
hostfd host_inotify_create(void);
int host_inotify_add(hostfd hfd, hostfd file, u32 mask);
int host_inotify_remove(hostfd hfd, int wd);
/* Records, checked: sizes, names without '/' that end. -EAGAIN: none. */
ssize_t host_inotify_read(hostfd hfd, void *buf, size_t n);
struct host_inotify_event {
    i32 wd;
    u32 mask, cookie, name_len;
    const char *name; /* in buf */
};
size_t host_inotify_next(const void *record, struct host_inotify_event *e); /* its size */
int host_mknod(hostfd dir, const char *path, u32 mode, u64 dev);

/* sockets; addresses are struct sockaddr images of at most 128 bytes */
hostfd host_socket(int domain, int type, int protocol);
int host_bind(hostfd hfd, const void *addr, u32 addr_len);
int host_connect(hostfd hfd, const void *addr, u32 addr_len); /* -EINPROGRESS */
/* UNIX sockets. Bind below a mount's root; text: the program's own name for it. */
int host_bind_path(hostfd hfd, hostfd dir, const char *path, const char *text);
/* To the socket of a file (of host_open() with O_PATH). -EAGAIN: its backlog is full. */
int host_connect_file(hostfd hfd, hostfd file, u32 uid, u32 gid);
int host_listen(hostfd hfd, int backlog, u32 uid, u32 gid);
hostfd host_accept(hostfd hfd, void *addr, u32 *addr_len);
/* What is beside the bytes. Lengths of recv: room in, length out (an address's may be more). */
struct host_message {
    void *addr;
    u32 addr_len;
    void *control; /* at most 512 bytes; what is in it is not looked at: net/ip_control.c */
    u32 control_len;
    int flags; /* of recv: MSG_* of what came */
    bool to_file;
    hostfd file; /* of send, with to_file: a UNIX socket's (host_open() with O_PATH) */
};
ssize_t host_send(hostfd hfd, const void *buf, size_t n, int flags, const struct host_message *m);
ssize_t host_recv(hostfd hfd, void *buf, size_t n, int flags, struct host_message *m);
int host_shutdown(hostfd hfd, int how);
int host_getsockopt(hostfd hfd, int level, int name, void *val, u32 *len);
int host_setsockopt(hostfd hfd, int level, int name, const void *val, u32 len);
int host_getsockname(hostfd hfd, void *addr, u32 *addr_len, bool peer);

/* Never goes backwards for monotonic clocks (host/clock.c). */
u64 clock_monotonic(void); /* ns */
u64 clock_realtime(void);  /* ns */
/* time: untrusted nanoseconds of CLOCK_REALTIME / MONOTONIC / BOOTTIME ... (the vDSO and clock.c
 * smooth and order it) */
i64 host_clock(int clock_id);
/* CPU time of the host thread of that area (struct thread.host). */
i64 host_thread_clock(struct host_memory *area);

/* memory and threads: used by libos/heap, libos/mm and libos/thread only */
int host_sgx_restrict(u64 addr, u64 size, u32 prot);    /* EMODPR */
int host_sgx_modify_type(u64 addr, u64 size, u32 type); /* EMODT */
int host_sgx_remove(u64 addr, u64 size);                /* EREMOVE */
/* mprotect of pages that are there from the start, where the EPCM cannot be changed (SGX1). */
int host_sgx_protect(u64 addr, u64 size, u32 prot);
int host_thread_create(void); /* a host thread that will enter with ECALL_THREAD */
void host_yield(void);
/* Quote over a report made for the quoting enclave. */
int host_get_target_info(u8 target_info[SGX_TARGETINFO_SIZE]);
/* A quote whose body is the report's, without what follows it. Whether its signatures are good, its
 * verifier finds out. */
ssize_t host_get_quote(const u8 report[SGX_REPORT_SIZE], u8 *quote, size_t n);
/* Tell libenclave what became of a process: PAL_EVENT_*. */
void host_event(u32 type, i32 pid, i32 status, const char *message);

/* The sealed image and site table as the host mapped them: read through these only. -EIO when out
 * of range. */
int host_image_read(u64 off, void *buf, size_t n);
u64 host_image_size(void);
int host_sites_read(u64 off, void *buf, size_t n);

/* One line of log (level as in lib.h), and the end of the enclave: never returns, whatever the host
 * answers. */
void host_log(int level, const char *line, size_t n);
void host_abort(const char *message) __attribute__((noreturn));

/* ---- for thread and entry ---- */
void host_set_image(const struct boundary_boot *boot);
i64 host_thread_wait(u64 timeout, struct host_pollfd *fds, size_t count);
void host_thread_wake(struct host_memory *area);
void host_thread_kick(struct host_memory *area);
int host_tcs_add(u64 tcs);
int host_cpuid(u32 leaf, u32 subleaf, u32 out[4]);
struct host_time {
    u64 monotonic, realtime, tsc, frequency;
};
void host_time(struct host_time *t);
void clock_init(void);
