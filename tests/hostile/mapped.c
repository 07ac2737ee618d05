/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the workload about the host's files as memory and as a tree. Whatever sizes, types and
 * names the host gives: a mapping of its file is nobody else's memory, and below its mount are its
 * own files only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

#define PAGE 4096ul

/* ---- as memory ---- */

#define HELD      64
#define HELD_SIZE (4ul << 20) /* together more than a slot of addresses */

static uint64_t *g_held[HELD];

/* Memory of the process's own round which files are mapped: a word at both ends of each piece. */
static void hold(void)
{
    for (int i = 0; i < HELD; i++) {
        void *p = mmap(NULL, HELD_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        g_held[i] = p == MAP_FAILED ? NULL : p;
        if (g_held[i] == NULL)
            continue;
        g_held[i][0] = pattern((uint64_t)i, 21);
        g_held[i][HELD_SIZE / 8 - 1] = pattern((uint64_t)i, 22);
    }
}

static void still_held(const char *p, size_t size)
{
    for (int i = 0; i < HELD; i++) {
        const char *start = (const char *)g_held[i];
        if (start == NULL)
            continue;
        INSIDE(p + size <= start || p >= start + HELD_SIZE);
        INSIDE(g_held[i][0] == pattern((uint64_t)i, 21));
        INSIDE(g_held[i][HELD_SIZE / 8 - 1] == pattern((uint64_t)i, 22));
    }
}

static sigjmp_buf g_gone;

static void on_gone(int signo)
{
    (void)signo;
    siglongjmp(g_gone, 1);
}

static void touch_page(volatile char *p, bool write)
{
    if (sigsetjmp(g_gone, 1) != 0)
        return;
    char c = p[0];
    if (write)
        p[0] = (char)(c + 1);
}

/* Read and write each page; one behind the file's end is a SIGBUS. */
static void touch(char *p, size_t size, bool write)
{
    for (size_t at = 0; at < size; at += PAGE)
        touch_page(p + at, write);
}

static void map_one(int fd, int round)
{
    const size_t size = PAGE << (round % 3);
    const bool shared = round % 4 != 0, writes = round % 2;
    char *p = mmap(NULL, size, PROT_READ | (writes ? PROT_WRITE : 0),
                   shared ? MAP_SHARED : MAP_PRIVATE, fd, (off_t)(round % 5 == 4 ? PAGE : 0));
    if (p == MAP_FAILED)
        return;
    still_held(p, size);
    touch(p, size, writes);
    if (round % 3 == 0 && ftruncate(fd, round) == 0)
        touch(p, size, writes);
    msync(p, size, MS_SYNC);
    still_held(p, size);
    if (round % 2) { /* grows, perhaps elsewhere */
        void *more = mremap(p, size, 2 * size, MREMAP_MAYMOVE);
        if (more != MAP_FAILED) {
            still_held(more, 2 * size);
            touch(more, 2 * size, writes);
            munmap(more, 2 * size);
            return;
        }
    }
    munmap(p, size);
}

static void map_files(void)
{
    const struct sigaction act = {.sa_handler = on_gone};
    char buf[3 * PAGE], path[64];

    sigaction(SIGBUS, &act, NULL);
    hold();
    for (int round = 0; round < 24; round++) {
        snprintf(path, sizeof(path), "/host/m%d", round % 5);
        int fd = open(path, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
            continue;
        memset(buf, round, sizeof(buf));
        if (write(fd, buf, sizeof(buf)) > 0)
            map_one(fd, round);
        close(fd);
    }
}

/* ---- at an address that parent and child use in turns (libos/mm/group.c) ---- */

#define TURNS_AT    ((uint64_t *)0x600000000)
#define TURNS_PAGES 4

static void pass_on(int fd)
{
    char c = 0;
    INSIDE(write(fd, &c, 1) == 1);
}

static bool my_turn(int fd)
{
    char c;
    return read(fd, &c, 1) == 1;
}

static void in_turns_child(const int mine[2], const int others[2])
{
    close(mine[1]);
    void *p = mmap(TURNS_AT, TURNS_PAGES * PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (uint64_t round = 0; p == TURNS_AT && my_turn(mine[0]); round++) {
        for (size_t page = 0; page < TURNS_PAGES; page++) {
            INSIDE(TURNS_AT[page * PAGE / 8] == (round ? pattern(page, round - 1) : 0));
            TURNS_AT[page * PAGE / 8] = pattern(page, round);
        }
        pass_on(others[1]);
    }
    _exit(p != TURNS_AT);
}

/*
 * The parent has a file of the host there, and the child memory of its own: whenever it is the
 * parent's turn the file is read into place, while mm's locks are held.
 */
static void in_turns(void)
{
    const struct sigaction act = {.sa_handler = on_gone};
    const size_t size = TURNS_PAGES * PAGE;
    int to_child[2], to_parent[2], status, fd = open("/host/turns", O_RDWR | O_CREAT, 0600);

    sigaction(SIGBUS, &act, NULL);
    INSIDE(pipe(to_child) == 0 && pipe(to_parent) == 0);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
        mmap(TURNS_AT, size, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) != TURNS_AT)
        return;
    touch((char *)TURNS_AT, size, false);
    pid_t pid = fork();
    INSIDE(pid >= 0 || host_may(errno));
    if (pid == 0)
        in_turns_child(to_child, to_parent);
    close(to_parent[1]);
    for (int round = 0; pid > 0 && round < 10; round++) {
        pass_on(to_child[1]);
        if (!my_turn(to_parent[0]))
            break;
        touch((char *)TURNS_AT, size, false);
    }
    close(to_child[1]);
    if (pid > 0 && waitpid(pid, &status, 0) == pid)
        INSIDE(!WIFSIGNALED(status) || WTERMSIG(status) == SIGKILL);
}

/* In a child, which may be killed for want of memory. */
static void in_children(void (*fn)(void), int times)
{
    for (int child = 0; child < times; child++) {
        int status = 0;
        pid_t pid = fork();
        INSIDE(pid >= 0 || host_may(errno));
        if (pid == 0) {
            fn();
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            continue;
        INSIDE(!WIFSIGNALED(status) || WTERMSIG(status) == SIGKILL);
        if (WIFSIGNALED(status))
            refused("a child with mapped files was killed");
    }
}

void mapped_part(void)
{
    in_children(map_files, 2);
}

void turns_part(void)
{
    in_children(in_turns, 1);
}

/* ---- as a tree ---- */

static dev_t g_host_dev;
static int g_visits;

/* What is reached by a name below the mount, by links too, is of the mount. */
static void is_of_host(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0)
        INSIDE(st.st_dev == g_host_dev);
}

static void visit(int dir, int depth);

static void visit_entry(int dir, const char *name, int depth)
{
    char target[256];
    struct stat st;

    INSIDE(name[0] != '\0' && strchr(name, '/') == NULL);
    if (readlinkat(dir, name, target, sizeof(target)) < 0 && fstatat(dir, name, &st, 0) == 0)
        INSIDE(st.st_dev == g_host_dev);
    int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    is_of_host(fd);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && depth < 12)
        visit(fd, depth + 1);
    else if (read(fd, target, sizeof(target)) > 0)
        target[0] = 0;
    close(fd);
}

static void visit(int dir, int depth)
{
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    struct dirent *e;

    if (d == NULL) {
        close(again);
        return;
    }
    while (g_visits > 0 && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        g_visits--;
        visit_entry(dir, e->d_name, depth);
    }
    closedir(d);
}

static void grow(int round)
{
    char path[64], other[64];
    struct stat st;

    snprintf(path, sizeof(path), "/host/d%d", round % 3);
    snprintf(other, sizeof(other), "/host/d%d/d%d", (round + 1) % 3, round);
    mkdir(path, 0700);
    symlink("../f1", "/host/d1/up");
    symlink("/tmp", "/host/d1/out");
    rename(path, other);
    close(open("/host/d2/file", O_CREAT | O_RDWR, 0600));
    link("/host/d2/file", "/host/d1/file");
    if (stat("/host/d1/out", &st) == 0)
        INSIDE(st.st_dev == g_host_dev);
    unlink("/host/d1/file");
    rmdir(other);
}

void tree_part(void)
{
    struct stat own, st;

    INSIDE(stat("/tmp", &own) == 0);
    mkdir("/tmp/held", 0700);
    if (stat("/host", &st) < 0)
        return;
    g_host_dev = st.st_dev;
    INSIDE(g_host_dev != own.st_dev);
    for (int round = 0; round < 10; round++) {
        grow(round);
        int root = open("/host", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            continue;
        is_of_host(root);
        g_visits = 60;
        visit(root, 0);
        close(root);
    }
    INSIDE(stat("/tmp", &st) == 0 && st.st_dev == own.st_dev);
}
