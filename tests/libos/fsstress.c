/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and processes at work on the same few names: nothing may hang, crash, or leave something
 * that cannot be removed. */
#include "check.h"
#include "remove.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define THREADS 4
#define STEPS   3000

static unsigned rnd(unsigned *state, unsigned n)
{
    *state = *state * 1103515245u + 12345u;
    return (*state >> 16) % n;
}

#define PATH_SIZE 16

static void path(unsigned *s, char out[PATH_SIZE])
{
    int n = snprintf(out, PATH_SIZE, "d%u", rnd(s, 3));
    if (rnd(s, 2))
        n += snprintf(out + n, PATH_SIZE - (size_t)n, "/e%u", rnd(s, 3));
    snprintf(out + n, PATH_SIZE - (size_t)n, "/f%u", rnd(s, 4));
}

static void step(unsigned *s)
{
    char p[64], q[64], buf[3000];
    struct stat st;
    int fd;
    DIR *d;

    path(s, p);
    path(s, q);
    switch (rnd(s, 12)) {
    case 0:
    case 1:
        fd = open(p, O_RDWR | O_CREAT, 0600);
        if (fd >= 0) {
            memset(buf, 'x', sizeof(buf));
            if (write(fd, buf, rnd(s, sizeof(buf))) < 0 || pread(fd, buf, sizeof(buf), 0) < 0)
                CHECK(0);
            if (ftruncate(fd, rnd(s, 20000)) < 0)
                CHECK(0);
            close(fd);
        }
        break;
    case 2:
        unlink(p);
        break;
    case 3:
        rename(p, q);
        break;
    case 4:
        *strrchr(p, '/') = 0;
        *strrchr(q, '/') = 0;
        rename(p, q);
        break;
    case 5:
        link(p, q);
        break;
    case 6:
        symlink("../d1/f1", p);
        break;
    case 7:
        *strrchr(p, '/') = 0;
        mkdir(p, 0700);
        break;
    case 8:
        *strrchr(p, '/') = 0;
        rmdir(p);
        break;
    case 9:
        *strrchr(p, '/') = 0;
        d = opendir(p);
        if (d) {
            while (readdir(d))
                ;
            closedir(d);
        }
        break;
    case 10:
        fd = open(p, O_RDWR);
        if (fd >= 0) {
            if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                flock(fd, LOCK_UN);
            if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 4096) {
                char *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
                CHECK(m != MAP_FAILED);
                munmap(m, 4096);
            }
            close(fd);
        }
        break;
    default:
        stat(p, &st);
        lstat(q, &st);
    }
}

static void *work(void *seed)
{
    unsigned s = (unsigned)(long)seed;
    for (int i = 0; i < STEPS; i++)
        step(&s);
    return NULL;
}

static void threads(void)
{
    pthread_t t[THREADS];
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, work, (void *)(i * 7919 + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static void processes(void)
{
    int status;
    fflush(stdout);
    for (long i = 0; i < 3; i++)
        if (fork() == 0) {
            work((void *)(i * 104729 + 3));
            _exit(g_failed);
        }
    for (int i = 0; i < 3; i++)
        CHECK(wait(&status) > 0 && status == 0);
}

/* ---- what must hold however the threads meet ---- */

#define MEETINGS 5000

static int g_holders; /* atomic */

/* A file made with O_EXCL is a lock. */
static void *locks_by_file(void *arg)
{
    for (int i = 0; i < MEETINGS; i++) {
        int fd = open("lock", O_CREAT | O_EXCL | O_RDWR, 0600);
        if (fd < 0) {
            CHECK(errno == EEXIST);
            continue;
        }
        CHECK(__atomic_add_fetch(&g_holders, 1, __ATOMIC_SEQ_CST) == 1);
        close(fd);
        __atomic_sub_fetch(&g_holders, 1, __ATOMIC_SEQ_CST);
        CHECK(unlink("lock") == 0);
    }
    return arg;
}

static void one_creates(void)
{
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&t[i], NULL, locks_by_file, NULL) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
}

/* A file that is replaced by rename() can always be opened, and made. */
static volatile int g_over;

static void *opens(void *arg)
{
    while (!g_over) {
        int fd = open("replaced", O_CREAT | O_RDWR, 0600);
        CHECK(fd >= 0);
        close(fd);
    }
    return arg;
}

static void replaced_while_opened(void)
{
    pthread_t t;
    g_over = 0;
    CHECK(pthread_create(&t, NULL, opens, NULL) == 0);
    for (int i = 0; i < MEETINGS; i++) {
        int fd = open("fresh", O_CREAT | O_EXCL | O_RDWR, 0600);
        CHECK(fd >= 0);
        close(fd);
        unlink("replaced");
        CHECK(rename("fresh", "replaced") == 0);
    }
    g_over = 1;
    pthread_join(t, NULL);
    CHECK(unlink("replaced") == 0);
}

/* One name wanders; whoever takes it away elsewhere never takes another file's. */
static void *renames(void *arg)
{
    while (!g_over) {
        rename("here", "there");
        rename("there", "here");
    }
    return arg;
}

static void names_and_files_agree(void)
{
    struct stat st;
    pthread_t t[2];
    g_over = 0;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&t[i], NULL, renames, NULL) == 0);
    for (int i = 0; i < MEETINGS; i++) {
        int fd = open("here", O_CREAT | O_RDWR, 0600);
        if (fd >= 0)
            close(fd);
        link("here", "third");
        unlink(i % 2 ? "here" : "there");
        rename("third", i % 3 ? "there" : "here");
    }
    g_over = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d));) {
        int r = lstat(e->d_name, &st);
        CHECK(r == 0 && st.st_ino == e->d_ino);
    }
    closedir(d);
    for (int i = 0; i < 2; i++) {
        unlink(i ? "here" : "there");
        CHECK(lstat(i ? "here" : "there", &st) == -1 && errno == ENOENT);
    }
}

/* Directories that are removed while something is moved in or out. */
static void *moves(void *arg)
{
    while (!g_over) {
        rename("parent/child/x", "parent/x");
        rename("parent/x", "parent/child/x");
        rename("parent/child/x", "x");
        rename("x", "parent/x");
    }
    return arg;
}

static void removed_while_moved(void)
{
    pthread_t t;
    g_over = 0;
    CHECK(mkdir("x", 0700) == 0);
    CHECK(pthread_create(&t, NULL, moves, NULL) == 0);
    for (int i = 0; i < MEETINGS; i++) {
        mkdir("parent", 0700);
        mkdir("parent/child", 0700);
        rmdir("parent/child");
        rmdir("parent");
    }
    g_over = 1;
    pthread_join(t, NULL);
    rmdir("x");
    CHECK(access("parent", F_OK) < 0 || remove_tree("parent") == 0);
}

int main(void)
{
    char dir[] = "/tmp/stressXXXXXX", name[8];
    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        CHECK(mkdir(name, 0700) == 0);
    }
    RUN(threads);
    RUN(processes);
    RUN(one_creates);
    RUN(replaced_while_opened);
    RUN(names_and_files_agree);
    RUN(removed_while_moved);
    CHECK(chdir("/") == 0 && remove_tree(dir) == 0);
    return finish();
}
