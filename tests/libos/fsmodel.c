/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on a small tree, always the same ones: every result goes into the output, so
 * Linux is the model that the LibOS is compared with. What differs between Linux's own file systems
 * (sizes of directories, inode numbers) is left out.
 */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

static unsigned long long g_state = 88172645463325252ull, g_hash = 14695981039346656037ull;

static unsigned rnd(unsigned n)
{
    g_state ^= g_state << 13;
    g_state ^= g_state >> 7;
    g_state ^= g_state << 17;
    return (unsigned)(g_state >> 33) % n;
}

static const char *error_name(int e)
{
    static char text[16];
    snprintf(text, sizeof(text), "E%d", e);
    return text;
}

static int g_verbose;
static void note(const char *op, const char *a, const char *b, long r)
{
    char line[1200];
    int n = snprintf(line, sizeof(line), "%s %s %s = %ld%s%s", op, a, b ? b : "", r < 0 ? -1 : r,
                     r < 0 ? " " : "", r < 0 ? error_name(errno) : "");
    for (int i = 0; i < n; i++)
        g_hash = (g_hash ^ (unsigned char)line[i]) * 1099511628211ull;
    if (g_verbose)
        puts(line);
}

#define PATH_SIZE 64 /* more than four of the names, with what stands between them */
static const char *const g_names[] = {"a", "b", "c", "dir", "link", "x.y"};

/* One to four components, sometimes with dots, doubled or trailing slashes. */
static void path(char out[PATH_SIZE])
{
    static const char *const odd[] = {".", "..", ""};
    unsigned parts = 1 + rnd(4), n = 0;
    *out = 0;
    while (parts--) {
        unsigned k = rnd(40);
        n += (unsigned)snprintf(out + n, PATH_SIZE - n, "%s", k < 3 ? odd[k] : g_names[rnd(6)]);
        if (parts)
            n += (unsigned)snprintf(out + n, PATH_SIZE - n, "%s", rnd(20) ? "/" : "//");
    }
    if (rnd(12) == 0)
        snprintf(out + n, PATH_SIZE - n, "/");
    if (!strncmp(out, "..", 2) || strstr(out, "/.."))
        snprintf(out, PATH_SIZE, "a/../b"); /* never leave the tree */
    if (*out == '/')
        memmove(out, out + 1, strlen(out));
    if (*out == '/')
        snprintf(out, PATH_SIZE, "a");
}

static unsigned long content_hash(const char *p)
{
    unsigned char buf[4096];
    unsigned long h = 5381;
    ssize_t n;
    int fd = open(p, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return 0;
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++)
            h = h * 33 + buf[i];
    close(fd);
    return h & 0xffffffff;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *p)
{
    char *names[64], text[1000] = "";
    int count = 0;
    DIR *d = opendir(p);
    struct dirent *e;
    if (!d) {
        note("list", p, NULL, -1);
        return;
    }
    while (count < 64 && (e = readdir(d))) {
        asprintf(&names[count++], "%s:%d", e->d_name, e->d_type);
    }
    closedir(d);
    qsort(names, (size_t)count, sizeof(*names), by_name);
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s ", names[i]);
        if (n >= sizeof(text))
            n = sizeof(text) - 1;
        free(names[i]);
    }
    note("list", p, text, count);
}

static void look(const char *p)
{
    struct stat st;
    char text[200] = "";
    int r = rnd(2) ? stat(p, &st) : lstat(p, &st);
    if (r == 0 && S_ISDIR(st.st_mode))
        snprintf(text, sizeof(text), "%o", st.st_mode);
    else if (r == 0)
        snprintf(text, sizeof(text), "%o %lu %lld %lx", st.st_mode, (unsigned long)st.st_nlink,
                 (long long)st.st_size, S_ISREG(st.st_mode) ? content_hash(p) : 0);
    note("stat", p, text, r);
}

static void write_some(const char *p)
{
    static const int flags[] = {O_WRONLY,
                                O_WRONLY | O_CREAT,
                                O_RDWR | O_CREAT | O_EXCL,
                                O_WRONLY | O_CREAT | O_TRUNC,
                                O_WRONLY | O_APPEND,
                                O_RDWR | O_CREAT | O_NOFOLLOW,
                                O_RDONLY | O_DIRECTORY};
    char data[6000], text[64];
    int fl = flags[rnd(7)], fd = open(p, fl | O_NONBLOCK, 0640);
    size_t n = rnd(sizeof(data));
    off_t off = rnd(20000);
    long r = fd;
    snprintf(text, sizeof(text), "%x %zu %ld", fl, n, (long)off);
    memset(data, 'A' + (int)rnd(26), n);
    if (fd >= 0) {
        r = rnd(2) ? pwrite(fd, data, n, off) : (lseek(fd, off, SEEK_SET), write(fd, data, n));
        if (r >= 0 && rnd(3) == 0)
            r = r * 100000 + lseek(fd, 0, SEEK_CUR);
        int saved = errno;
        close(fd);
        errno = saved;
    }
    note("write", p, text, r);
}

static void step(void)
{
    char p[256], q[256], text[300];
    ssize_t n;
    int fd;

    path(p);
    path(q);
    switch (rnd(20)) {
    case 0:
    case 1:
    case 2:
        write_some(p);
        break;
    case 3:
        note("mkdir", p, NULL, mkdir(p, 0751));
        break;
    case 4:
        if (rnd(3))
            break;
        note("rmdir", p, NULL, rmdir(p));
        break;
    case 5:
        note("unlink", p, NULL, unlink(p));
        break;
    case 6:
    case 7:
        note("rename", p, q, rename(p, q));
        break;
    case 8:
        note("link", p, q, link(p, q));
        break;
    case 9:
        note("symlink", p, q, symlink(p, q));
        break;
    case 10:
        n = readlink(p, text, sizeof(text) - 1);
        if (n >= 0)
            text[n] = 0;
        note("readlink", p, n >= 0 ? text : "", n);
        break;
    case 11:
        n = rnd(30000);
        note("truncate", p, NULL, truncate(p, n));
        break;
    case 12:
        list(p);
        break;
    case 13:
        note("chmod", p, NULL, chmod(p, 0600 + rnd(0100)));
        break;
    case 14:
        note("exchange", p, q,
             renameat2(AT_FDCWD, p, AT_FDCWD, q, rnd(2) ? RENAME_NOREPLACE : RENAME_EXCHANGE));
        break;
    case 15:
        note("access", p, NULL, access(p, (int)rnd(8)));
        break;
    case 16:
        fd = open(p, O_PATH | (rnd(2) ? O_NOFOLLOW : 0));
        note("path", p, NULL, fd < 0 ? -1 : 0);
        if (fd >= 0) {
            n = openat(fd, "a", O_RDONLY | O_NONBLOCK);
            note("openat", p, NULL, n < 0 ? -1 : 0);
            if (n >= 0)
                close((int)n);
            close(fd);
        }
        break;
    case 17:
        note("mkfifo", p, NULL, rnd(6) ? -2 + 0 * (errno = 0) : mkfifo(p, 0600));
        break;
    default:
        look(p);
    }
}

static void sweep(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    char p[PATH_MAX];
    if (!d)
        return;
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        snprintf(p, sizeof(p), "%s/%s", dir, e->d_name);
        if (e->d_type == DT_DIR)
            sweep(p);
        CHECK(remove(p) == 0);
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/fsmodelXXXXXX";

    g_verbose = argc > 1; /* each step in the output; the argument is the seed */
    if (argc > 1)
        g_state ^= strtoull(argv[1], NULL, 0) * 2654435761u;
    umask(022);
    CHECK(mkdtemp(dir) != NULL && chdir(dir) == 0);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 250; i++)
            step();
        printf("%d %016llx\n", round, g_hash);
        if (round % 10 == 9)
            sweep(".");
    }
    sweep(".");
    CHECK(chdir("/") == 0 && rmdir(dir) == 0);
    return finish();
}
