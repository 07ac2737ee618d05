/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root directory to an EROFS image by mkfs.erofs, the same bytes for the same tree wherever it
 * lies: fixed UUID, no build time, every inode in the long form with its own mtime, extended
 * attributes inline (shared ones would be laid out in the order of the walk).
 */
#include "enclave/bundle/internal.h"

#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "enclave/bundle/sealed_reader.h"

#define PACK_UUID "5e41ed00-7275-4e65-8000-000000000001"

#define EROFS_SUPER_OFFSET 1024
#define EROFS_MAGIC        0xe0f5e1e2u
#define EROFS_BLOCK        4096
#define EROFS_CHECKSUM     (1u << 0) /* feature_compat */

/* The fields of the superblock that are looked at or rewritten (Linux fs/erofs/erofs_fs.h). */
struct pack_super {
    uint32_t magic, checksum, feature_compat;
    uint8_t block_bits, ext_slots;
    uint16_t root_nid;
    uint64_t inodes, build_time;
    uint32_t build_nsec;
} __attribute__((packed));

char *pack_find_mkfs(const char *option, struct error *err)
{
    if (option) {
        if (access(option, X_OK) == 0)
            return xstrdup(option);
        error_errno(err, errno, "mkfs.erofs at %s", option);
        return NULL;
    }
    const char *path = getenv("PATH");
    cleanup_free char *list = xasprintf("%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
    char *next = list;
    for (const char *dir = strsep(&next, ":"); dir; dir = strsep(&next, ":")) {
        if (dir[0] != '/')
            continue;
        char *candidate = path_join(dir, "mkfs.erofs");
        if (access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
    }
    error_code(err, ENOENT,
               "mkfs.erofs is not installed; install erofs-utils (apt-get install "
               "erofs-utils)");
    return NULL;
}

static void run_child(const char *mkfs, const char *rootfs, const char *image, int messages,
                      pid_t parent, int lock)
{
    /* The packer must not outlive us; until it is gone it keeps the lock of the entry that it
     * writes into. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || fcntl(lock, F_SETFD, 0) < 0)
        _exit(126);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(messages, STDERR_FILENO) < 0)
        _exit(126);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* SOURCE_DATE_EPOCH would clamp the files' own times. */
    static const char *const environment[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                              NULL};
    const char *const args[] = {mkfs,
                                "--quiet",
                                "--preserve-mtime",
                                "-U",
                                PACK_UUID,
                                "-E",
                                "force-inode-extended",
                                "-x",
                                "2147483647",
                                image,
                                rootfs,
                                NULL};
    execve(mkfs, (char *const *)args, (char *const *)environment);
    _exit(127);
}

/* The last line that mkfs.erofs wrote, without its marks. */
static const char *last_line(struct buffer *text)
{
    while (text->size > 0 && strchr("\n\r \t", text->data[text->size - 1]))
        text->data[--text->size] = 0;
    const char *line = text->size ? strrchr(text->data, '\n') : NULL;
    line = line ? line + 1 : buffer_text(text);
    const char *mark = strstr(line, "erofs: ");
    return mark ? mark + 7 : line;
}

static int run_mkfs(const char *mkfs, const char *rootfs, const char *image, int lock,
                    struct error *err)
{
    pid_t self = getpid();
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "pipe");
    cleanup_close int reader = pipe_fds[0];
    cleanup_close int writer = pipe_fds[1];
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "start %s", mkfs);
    if (pid == 0)
        run_child(mkfs, rootfs, image, writer, self, lock);
    close_and_reset(&writer);

    /* Keep the end of what it says; read to the end, so that it never blocks on us. */
    cleanup_buffer struct buffer text = BUFFER_INIT;
    for (;;) {
        char chunk[4096];
        ssize_t size = read(reader, chunk, sizeof(chunk));
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break;
        if (text.size > 65536)
            buffer_consume(&text, text.size - 4096);
        buffer_append(&text, chunk, (size_t)size);
    }
    int status = child_wait(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        return error_set(err, "%s was killed by signal %d", mkfs, WTERMSIG(status));
    if (WEXITSTATUS(status) == 127 && text.size == 0)
        return error_set(err, "%s cannot be executed", mkfs);
    return error_set(err, "%s failed (exit code %d): %s", mkfs, WEXITSTATUS(status),
                     last_line(&text));
}

/* CRC-32C, bit by bit: 3 KiB a conversion. */
static uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

static int clear_mtime(int fd, uint64_t at, struct error *err)
{
    struct pack_inode inode;
    if (pread(fd, &inode, sizeof(inode), (off_t)at) != (ssize_t)sizeof(inode) ||
        !(le16toh(inode.format) & 1))
        return error_set(err, "mkfs.erofs made an image with an inode that we cannot read");
    inode.mtime = 0;
    inode.mtime_nsec = 0;
    if (pwrite(fd, &inode, sizeof(inode), (off_t)at) != (ssize_t)sizeof(inode))
        return error_errno(err, errno, "write image");
    return 0;
}

/* The root's time is when somebody made the directory, and what thin layers bring has the times of
 * one container. */
static int clear_times(int fd, uint64_t size, const struct fingerprint *fingerprint,
                       struct error *err)
{
    struct sealed_reader *reader = NULL;
    int ret = sealed_open(&reader, fd, size, err);
    if (ret < 0)
        return ret;
    ret = clear_mtime(fd, sealed_inode_offset(reader, sealed_root(reader)), err);
    for (size_t i = 0; ret == 0 && i < fingerprint->thin.count; i++) {
        uint64_t nid;
        int found = sealed_find(reader, fingerprint->thin.items[i], &nid);
        if (found == 0)
            ret = clear_mtime(fd, sealed_inode_offset(reader, nid), err);
        else if (found != -ENOENT) /* a whiteout hides something, and is not there itself */
            ret = error_errno(err, -found, "packed image: %s", fingerprint->thin.items[i]);
    }
    sealed_close(reader);
    return ret;
}

/* Take the build time out of the superblock. */
static int normalise(int fd, struct error *err)
{
    uint8_t block[EROFS_BLOCK];
    if (pread(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block))
        return error_set(err, "mkfs.erofs made no image");
    struct pack_super super;
    memcpy(&super, block + EROFS_SUPER_OFFSET, sizeof(super));
    if (le32toh(super.magic) != EROFS_MAGIC || super.block_bits != 12)
        return error_set(err, "mkfs.erofs made an image that is not EROFS with 4 KiB blocks");
    super.build_time = 0;
    super.build_nsec = 0;
    super.checksum = 0;
    memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof(super));
    if (le32toh(super.feature_compat) & EROFS_CHECKSUM) {
        super.checksum = htole32(
            crc32c(~0u, block + EROFS_SUPER_OFFSET, sizeof(block) - EROFS_SUPER_OFFSET));
        memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof(super));
    }
    if (pwrite(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block))
        return error_errno(err, errno, "write image");
    return 0;
}

int pack_image(const char *mkfs, const struct bundle_options *options, const char *rootfs,
               const char *image, const struct fingerprint *fingerprint, int lock,
               struct error *err)
{
    int ret = run_mkfs(mkfs, rootfs, image, lock, err);
    if (ret < 0)
        return ret;
    cleanup_close int fd = open(image, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_errno(err, errno, "open %s", image);
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size == 0 || st.st_size % EROFS_BLOCK != 0)
        return error_set(err, "mkfs.erofs made an image of %lld bytes, not whole blocks",
                         (long long)st.st_size);
    ret = clear_times(fd, (uint64_t)st.st_size, fingerprint, err);
    if (ret == 0)
        ret = owners_map(fd, (uint64_t)st.st_size, &options->uids, &options->gids, err);
    if (ret == 0) /* last: the checksum covers the first inodes as well */
        ret = normalise(fd, err);
    return ret < 0 ? ret : take_fd(fd);
}
