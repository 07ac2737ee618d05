/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ocalls on UNIX sockets in pass-through mounts. A name is given as the mount's directory and a
 * path below it, or as an O_PATH descriptor of the socket's file; bind(2) and connect(2) take no
 * descriptor, so the thread stands in the directory meanwhile: the current directory is the
 * process's, under one lock, and nothing else here goes by it.
 *
 * Others see a program of the enclave as the user that it is: the thread takes its ids for the
 * call, as far as the container's rights go. Otherwise they see the container's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime.h"

#define UNUSED __attribute__((unused))

/* ---- standing in a directory ---- */

static pthread_mutex_t g_directory_lock = PTHREAD_MUTEX_INITIALIZER;

static int stand_in(int dir, int *back)
{
    pthread_mutex_lock(&g_directory_lock);
    *back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*back >= 0 && fchdir(dir) == 0)
        return 0;
    int r = -errno;
    if (*back >= 0)
        close(*back);
    pthread_mutex_unlock(&g_directory_lock);
    return r;
}

static int64_t stand_back(int back, int64_t r)
{
    if (fchdir(back) < 0) /* gone meanwhile: any place that stays will do */
        (void)!chdir("/");
    close(back);
    pthread_mutex_unlock(&g_directory_lock);
    return r;
}

int64_t with_file(int file, file_call *call, void *context)
{
    char name[16];
    int back, r = stand_in(g_runtime.proc_fd, &back);
    if (r < 0)
        return r;
    snprintf(name, sizeof(name), "%d", file);
    return stand_back(back, result_of(call(name, context)));
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path)));
    return address;
}

/* ---- as another user ---- */

struct self {
    struct __user_cap_header_struct head;
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
    uid_t uid;
    gid_t gid;
    int dumpable;
    bool changed;
};

/* The C library's own functions would change all threads. Capabilities stay in effect: whether the
 * program may have the file, the enclave has asked. */
static void become(struct self *self, uid_t uid, gid_t gid)
{
    *self = (struct self){
        .head = {_LINUX_CAPABILITY_VERSION_3, 0}, .uid = geteuid(), .gid = getegid()};
    if (uid == (uid_t)-1 || (uid == self->uid && gid == self->gid) ||
        syscall(SYS_capget, &self->head, self->caps) < 0)
        return;
    self->dumpable = prctl(PR_GET_DUMPABLE);
    self->changed = true;
    if (syscall(SYS_setresgid, -1, gid, -1) == 0 && syscall(SYS_setresuid, -1, uid, -1) == 0)
        (void)!syscall(SYS_capset, &self->head, self->caps);
}

static int64_t be_oneself(const struct self *self, int64_t r)
{
    if (!self->changed)
        return r;
    (void)!syscall(SYS_setresuid, -1, self->uid, -1);
    (void)!syscall(SYS_setresgid, -1, self->gid, -1);
    (void)!syscall(SYS_capset, &self->head, self->caps);
    if (self->dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1);
    return r;
}

/* ---- the calls ---- */

static bool is_directory(const char *path, size_t size, const struct stat *dir)
{
    char parent[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    struct stat st;
    memcpy(parent, path, size);
    parent[size] = '\0';
    return stat(size ? parent : "/", &st) == 0 && st.st_dev == dir->st_dev &&
           st.st_ino == dir->st_ino;
}

/*
 * Others are told the name by which a socket was bound. That is the program's own, where it leads
 * to the same directory here; else the last component.
 */
static int64_t bind_in(int fd, const struct name_at *p, const char *text)
{
    struct stat dir;
    const char *slash = text[0] == '/' ? strrchr(text, '/') : NULL;
    bool own = slash && strcmp(slash + 1, p->name) == 0 &&
               strlen(text) <= sizeof(((struct sockaddr_un *)0)->sun_path) &&
               fstat(p->dir, &dir) == 0 && is_directory(text, (size_t)(slash - text), &dir);
    struct sockaddr_un address = address_of(own ? text : p->name);
    int back, r = stand_in(p->dir, &back);
    if (r < 0)
        return r;
    return stand_back(back, result_of(bind(fd, (struct sockaddr *)&address,
                                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                                       strlen(own ? text : p->name) + 1))));
}

int64_t ocall_BIND_PATH(struct boundary_area *area, const uint64_t *args)
{
    struct name_at p;
    const char *path = ocall_string(area, 0), *text = ocall_string(area, args[2]);
    if (path == NULL || text == NULL)
        return -EINVAL;
    int64_t r = place_of(&p, (int)args[1], path);
    if (r < 0)
        return r;
    r = strlen(p.name) < sizeof(((struct sockaddr_un *)0)->sun_path)
            ? bind_in((int)args[0], &p, text)
            : -ENAMETOOLONG;
    if (p.own)
        close(p.dir);
    return r;
}

static int64_t connect_to(const char *name, void *context)
{
    struct sockaddr_un address = address_of(name);
    return connect(*(int *)context, (struct sockaddr *)&address, sizeof(address));
}

int connect_at(int fd, int dir, const char *name)
{
    int back, r = stand_in(dir, &back);
    return r < 0 ? r : (int)stand_back(back, result_of(connect_to(name, &fd)));
}

int64_t ocall_CONNECT_FILE(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct self self;
    int fd = (int)args[0];
    become(&self, (uid_t)args[2], (gid_t)args[3]);
    return be_oneself(&self, with_file((int)args[1], connect_to, &fd));
}

int64_t ocall_LISTEN(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct self self;
    become(&self, (uid_t)args[2], (gid_t)args[3]);
    return be_oneself(&self, result_of(listen((int)args[0], (int)args[1])));
}

struct sending {
    int fd, flags;
    struct msghdr *message;
};

static int64_t send_to(const char *name, void *context)
{
    struct sending *s = context;
    struct sockaddr_un address = address_of(name);
    s->message->msg_name = &address;
    s->message->msg_namelen = sizeof(address);
    return sendmsg(s->fd, s->message, s->flags);
}

/* Credentials name the program's user; of which process, is not theirs to say. */
static void set_process(struct msghdr *message)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    struct ucred credentials;
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
        c->cmsg_len != CMSG_LEN(sizeof(credentials)))
        return;
    memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
    credentials.pid = getpid();
    memcpy(CMSG_DATA(c), &credentials, sizeof(credentials));
}

int64_t unix_send(int fd, int file, struct msghdr *message, int flags)
{
    struct sending s = {fd, flags, message};
    set_process(message);
    for (;;) {
        int64_t r = file >= 0 ? with_file(file, send_to, &s)
                              : result_of(sendmsg(fd, message, flags));
        if (r != -EPERM || message->msg_controllen == 0)
            return r;
        message->msg_controllen = 0; /* the container may not speak for others */
    }
}
