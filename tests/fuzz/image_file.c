/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image files. The input is opened as an archive of images, and unpacked as a layer, with the
 * checksums of its headers put right, onto a directory with something in it and something beside
 * it. What is unpacked stays in that directory, and can be removed.
 */
#include <fcntl.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "image/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCK = 512, SIZE_AT = 124, SUM_AT = 148 };

static void put_checksums_right(uint8_t *tar, size_t size)
{
    for (size_t at = 0; at + BLOCK <= size;) {
        unsigned sum = 0;
        char text[13] = "";
        memset(tar + at + SUM_AT, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++)
            sum += tar[at + i];
        if (sum == 8 * ' ') { /* the end */
            memset(tar + at + SUM_AT, 0, 8);
            return;
        }
        snprintf((char *)tar + at + SUM_AT, 8, "%06o", sum);
        memcpy(text, tar + at + SIZE_AT, 12);
        size_t data = strtoull(text, NULL, 8);
        at += BLOCK + (data < size ? (data + BLOCK - 1) / BLOCK * BLOCK : 0);
    }
}

static void fill(int above)
{
    cleanup_close int file = openat(above, "outside", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0 || mkdirat(above, "root", 0700) < 0 || mkdirat(above, "root/etc", 0700) < 0 ||
        symlinkat("../outside", above, "root/out") < 0 || symlinkat("/..", above, "root/up") < 0)
        abort();
}

static void check_outside(int above)
{
    struct stat st;
    if (fstatat(above, "outside", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        st.st_size != 0 || (st.st_mode & 07777) != 0600 || st.st_nlink != 1 ||
        fstat(above, &st) < 0 || st.st_nlink != 3)
        abort();
}

static void unpack(const struct blob *blob, const uint8_t *data, size_t size)
{
    struct image_totals left = {.entries = 256, .bytes = 1 << 20};
    uint8_t digest[DIGEST_SIZE];
    struct tree tree = {0};
    cleanup_error struct error err = ERROR_INIT;
    char path[] = "/tmp/fuzz-image-XXXXXX";
    if (!mkdtemp(path) || EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    cleanup_close int above = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fill(above);
    cleanup_close int root = openat(above, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree_begin(&tree, root, left.bytes, &err) == 0 &&
        layer_apply(&tree, blob, digest, &left, &err) == 0)
        (void)tree_finish(&tree, &err);
    tree_release(&tree);
    check_outside(above);
    if (path_remove_tree(AT_FDCWD, path, NULL) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    cleanup_error struct error err = ERROR_INIT;
    cleanup_close int fd = memfd_create("image", MFD_CLOEXEC);
    cleanup_free uint8_t *tar = xmemdup(data, size);
    struct fd_path name;
    struct image *image = NULL;

    put_checksums_right(tar, size);
    if (fd < 0 || write(fd, tar, size) != (ssize_t)size)
        abort();
    if (image_open(fd_path_of(&name, fd), NULL, &image, &err) == 0)
        image_close(image);
    else if (!err.message)
        abort();
    const struct blob blob = {fd, 0, size};
    if (geteuid() == 0)
        unpack(&blob, tar, size);
    return 0;
}
