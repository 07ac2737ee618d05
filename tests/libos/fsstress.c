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

static void path(unsigned *s, char *out)
{
    sprintf(out, "d%u", rnd(s, 3));
    if (rnd(s, 2))
        sprintf(out + strlen(out), "/e%u", rnd(s, 3));
    sprintf(out + strlen(out), "/f%u", rnd(s, 4));
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

int main(void)
{
    char dir[] = "/tmp/stressXXXXXX", name[8];
    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    for (int i = 0; i < 3; i++) {
        sprintf(name, "d%d", i);
        CHECK(mkdir(name, 0700) == 0);
    }
    RUN(threads);
    RUN(processes);
    CHECK(chdir("/") == 0 && remove_tree(dir) == 0);
    return finish();
}
