/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target as a test: its seeds as they are, then changed in the ways that find most, from a
 * fixed start so that a failure comes again. Linked with the target.
 *   fuzz-replay SEEDS-DIRECTORY [ROUNDS]
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEEDS_MAX = 64, INPUT_MAX = 65536, CHANGES_MAX = 6 };

static struct buffer seeds[SEEDS_MAX];
static size_t seed_count;
static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64*: the same on every machine. */
static size_t pick(size_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return limit ? (size_t)((random_state * 0x2545f4914f6cdd1d) >> 33) % limit : 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_seeds(const char *path)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, by_name);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.' && seed_count < SEEDS_MAX &&
            read_file_at(dir, names[i]->d_name, &seeds[seed_count], INPUT_MAX, NULL) == 0)
            seed_count++;
        free(names[i]);
    }
    free(names);
    close(dir);
}

/* Cut `count` bytes out at `at` and put `size` bytes in. */
static size_t replace_part(uint8_t *input, size_t length, size_t at, size_t count,
                           const void *bytes, size_t size)
{
    if (length - count + size > INPUT_MAX)
        return length;
    memmove(input + at + size, input + at + count, length - at - count);
    if (size)
        memmove(input + at, bytes, size);
    return length - count + size;
}

static size_t change(uint8_t *input, size_t length)
{
    static const char *const words[] = {"-1",    "18446744073709551616",
                                        "\n",    " ",
                                        "null",  "[]",
                                        "{}",    "\"",
                                        "\\040", ":",
                                        "1e99",  "ro",
                                        "0",     "4294967296",
                                        "\xff",  "-",
                                        "rro",   "/"};
    size_t at = pick(length + 1), left = length - at;
    switch (pick(6)) {
    case 0: /* a bit */
        if (left)
            input[at] ^= (uint8_t)(1u << pick(8));
        return length;
    case 1: /* a byte */
        if (left)
            input[at] = (uint8_t)pick(256);
        return length;
    case 2: /* a part away */
        return replace_part(input, length, at, pick(left < 40 ? left + 1 : 40), NULL, 0);
    case 3: { /* a word in, or in place of something */
        const char *word = words[pick(array_count(words))];
        return replace_part(input, length, at, pick(left < 6 ? left + 1 : 6), word, strlen(word));
    }
    case 4: { /* a part of another seed */
        const struct buffer *other = &seeds[pick(seed_count)];
        size_t from = pick(other->size + 1);
        size_t size = pick(other->size - from + 1);
        return replace_part(input, length, at, 0, other->data + from, size);
    }
    default: /* the end away */
        return pick(8) ? length : at;
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 3000;
    load_seeds(argv[1]);
    if (seed_count == 0) {
        fprintf(stderr, "no seeds in %s\n", argv[1]);
        return 1;
    }
    /* Exact sizes on the heap, so that a sanitizer sees one byte too many. */
    static uint8_t input[INPUT_MAX];
    for (size_t round = 0; round < seed_count + rounds; round++) {
        const struct buffer *seed = &seeds[round < seed_count ? round : pick(seed_count)];
        size_t length = seed->size;
        memcpy(input, seed->data, length);
        for (size_t i = 1 + pick(CHANGES_MAX); round >= seed_count && i > 0; i--)
            length = change(input, length);
        cleanup_free uint8_t *copy = xmalloc(length ? length : 1);
        memcpy(copy, input, length);
        LLVMFuzzerTestOneInput(copy, length);
    }
    for (size_t i = 0; i < seed_count; i++)
        buffer_release(&seeds[i]);
    printf("%zu seeds, %zu changed ones\n", seed_count, rounds);
    return 0;
}
