/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct test_file {
    const char *name;
    const void *data; /* NULL: a directory, or with link a symlink */
    unsigned long size;
    const char *link;
};
void test_set_gs(void *p);
unsigned long test_now(void);
_Noreturn void test_die(const char *what);
void *test_pages(unsigned long count);
/* An EROFS image of these files by mkfs.erofs; other than 0: it could not be made. *image is
 * malloc'ed. */
int test_make_image(const struct test_file *files, unsigned count, unsigned char **image,
                    unsigned long *size);
/* Call fn(arg) on a stack of this size, which ends in a page that nobody may touch. */
void test_on_stack(unsigned long size, void (*fn)(void *), void *arg);
