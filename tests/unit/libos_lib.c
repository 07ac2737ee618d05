/* SPDX-License-Identifier: Apache-2.0 */
/* libos/lib against plain loops and tables. Its functions carry the names of libc's; the build
 * renames them (k_...). */
#include <stdio.h>
#include <stdlib.h>

#include "heap.h"
#include "lib.h"

static int g_bad;

#define CHECK(cond)                                                  \
    do {                                                             \
        if (!(cond)) {                                               \
            g_bad = 1;                                               \
            printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #cond); \
        }                                                            \
    } while (0)

void *kmalloc(size_t size)
{
    return malloc(size);
}

/* ---- memory: every small size, and random large ones, at every alignment; overlapping
 *      both ways ---- */
#define ROOM 1024

static void moves(void)
{
    static u8 real[ROOM], model[ROOM], copy[ROOM];

    for (int round = 0; round < 60000; round++) {
        size_t n = round < 40000 ? (size_t)round % 80 : (size_t)random() % 400;
        size_t d = (size_t)random() % (ROOM - n), s = (size_t)random() % (ROOM - n);

        if (round % 3 == 0) /* close together */
            d = s > 8 ? s - (size_t)random() % 8 : s;
        for (size_t i = 0; i < ROOM; i++)
            real[i] = model[i] = copy[i] = (u8)random();
        for (size_t i = 0; i < n; i++)
            model[d + i] = copy[s + i];
        CHECK(memmove(real + d, real + s, n) == real + d);
        bool same = true;
        for (size_t i = 0; i < ROOM; i++)
            same = same && real[i] == model[i];
        CHECK(same);
        if (d + n <= s || s + n <= d) {
            for (size_t i = 0; i < ROOM; i++)
                real[i] = copy[i];
            memcpy(real + d, real + s, n);
            CHECK(memcmp(real, model, ROOM) == 0);
        }
        if (g_bad)
            return;
    }
}

static void compares(void)
{
    u8 a[64], b[64];

    for (int n = 0; n < 64; n++) {
        memset(a, 0x5a, sizeof(a));
        memset(b, 0x5a, sizeof(b));
        CHECK(memcmp(a, b, (size_t)n) == 0);
        for (int i = 0; i < n; i++) {
            b[i] = 0xa5;
            CHECK(memcmp(a, b, (size_t)n) < 0 && memcmp(b, a, (size_t)n) > 0);
            CHECK(memchr(b, 0xa5, (size_t)n) == b + i);
            b[i] = 0x5a;
        }
        CHECK(memchr(b, 0xa5, (size_t)n) == NULL);
    }
}

static void zeros(void)
{
    u8 a[200];

    memset(a, 0, sizeof(a));
    for (size_t n = 0; n <= 150; n++) {
        for (size_t i = 0; i < 160; i++) {
            a[3 + i] = 1;
            CHECK(memory_is_zero(a + 3, n) == (i >= n));
            a[3 + i] = 0;
        }
    }
}

static void strings(void)
{
    char buf[8];
    char *dup;

    CHECK(strlen("") == 0 && strlen("abc") == 3 && strnlen("abc", 2) == 2 &&
          strnlen("abc", 9) == 3);
    /* cppcheck-suppress staticStringCompare ; the function is what is tried */
    CHECK(strcmp("a", "a") == 0 && strcmp("a", "b") < 0 && strcmp("b", "a") > 0 &&
          strcmp("a", "\xff") < 0);
    /* cppcheck-suppress staticStringCompare */
    CHECK(strncmp("abc", "abd", 2) == 0 && strncmp("abc", "abd", 3) < 0 &&
          strncmp("ab", "abc", 5) < 0);
    CHECK(strchr("abc", 'd') == NULL && *strchr("abc", 'b') == 'b' && *strchr("abc", 0) == 0);
    CHECK(strrchr("a/b/c", '/')[1] == 'c' && strrchr("abc", '/') == NULL);
    CHECK(strlcpy(buf, "0123456789", sizeof(buf)) == 10 && strcmp(buf, "0123456") == 0);
    CHECK(strlcpy(buf, "ab", sizeof(buf)) == 2 && strcmp(buf, "ab") == 0);
    dup = kstrndup("abcdef", 3);
    CHECK(strcmp(dup, "abc") == 0);
    free(dup);
}

static void __printf(2, 3) formats(const char *expected, const char *fmt, ...)
{
    char out[64], cut[6];
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(out, sizeof(out), fmt, ap);
    if (strcmp(out, expected) != 0 || n != (int)strlen(expected)) {
        g_bad = 1;
        printf("FAILED %s: got \"%s\", expected \"%s\"\n", fmt, out, expected);
    }
    CHECK(vsnprintf(cut, sizeof(cut), fmt, again) == n);
    CHECK(strlen(cut) == MIN(strlen(expected), sizeof(cut) - 1) &&
          strncmp(cut, expected, strlen(cut)) == 0);
    va_end(again);
    va_end(ap);
}

static void printing(void)
{
    formats("plain", "plain");
    formats("-5 5 4294967295", "%d %i %u", -5, 5, 0xffffffffu);
    formats("-9223372036854775808", "%ld", (long)INT64_MIN);
    formats("18446744073709551615", "%lu", ~0ul);
    formats("ff FF 17", "%x %X %o", 255u, 255u, 15u);
    formats("deadbeefcafe", "%lx", 0xdeadbeefcafeul);
    formats("   42|42   |00042", "%5d|%-5d|%05d", 42, 42, 42);
    formats("  007", "%5.3d", 7);
    formats("-0042", "%05d", -42);
    formats("abc|  abc|abc  |ab", "%s|%5s|%-5s|%.2s", "abc", "abc", "abc", "abc");
    formats("x%y", "%c%%%c", 'x', 'y');
    formats("0x1000", "%p", (void *)0x1000);
    formats("  12", "%*d", 4, 12);
    formats("ab", "%.*s", 2, "abcd");
    formats("255", "%hhu", 255);
    formats("7 7", "%zu %llu", (size_t)7, 7ull);
}

/* ---- the tree against a table of present keys ---- */
#define KEYS 300

static int check_node(const struct rb_node *n, u64 lo, u64 hi)
{
    int left, right;

    if (n == NULL)
        return 1;
    CHECK(n->key >= lo && n->key <= hi);
    CHECK(n->left == NULL || n->left->parent == n);
    CHECK(n->right == NULL || n->right->parent == n);
    if (n->red)
        CHECK((n->left == NULL || !n->left->red) && (n->right == NULL || !n->right->red));
    left = check_node(n->left, lo, n->key);
    right = check_node(n->right, n->key, hi);
    CHECK(left == right); /* as many black nodes on every way down */
    return left + !n->red;
}

static void tree(void)
{
    static struct rb_node nodes[KEYS];
    static bool present[KEYS];
    struct rb_root root = {NULL};

    for (int step = 0; step < 40000 && !g_bad; step++) {
        u64 k = (u64)random() % KEYS;
        struct rb_node *le, *ge, *n;
        i64 below, above;

        if (present[k]) {
            struct rb_node twin = {.key = k};

            CHECK(rb_insert(&root, &twin) == -EEXIST);
            rb_erase(&root, &nodes[k]);
        } else {
            nodes[k].key = k;
            CHECK(rb_insert(&root, &nodes[k]) == 0);
        }
        present[k] = !present[k];
        k = (u64)random() % KEYS;
        for (below = (i64)k; below >= 0 && !present[below];)
            below--;
        for (above = (i64)k; above < KEYS && !present[above];)
            above++;
        le = rb_find_le(&root, k);
        ge = rb_find_ge(&root, k);
        CHECK((le == NULL ? -1 : (i64)le->key) == below);
        CHECK((ge == NULL ? KEYS : (i64)ge->key) == above);
        CHECK((rb_find(&root, k) != NULL) == present[k]);
        if (step % 500 != 0)
            continue;
        check_node(root.node, 0, KEYS);
        n = rb_first(&root);
        for (i64 i = 0; i < KEYS; i++) {
            if (!present[i])
                continue;
            CHECK(n == &nodes[i]);
            n = rb_next(n);
        }
        CHECK(n == NULL);
    }
}

/* ---- patterns: against the definition, on every short text ---- */

static bool means(const char *p, const char *s)
{
    if (*p == '*')
        return means(p + 1, s) || (*s != '\0' && means(p, s + 1));
    if (*p == '\0' || *s == '\0')
        return *p == *s;
    if (*p == '\\')
        return p[1] == *s && means(p + 2, s + 1);
    return (*p == '?' || *p == *s) && means(p + 1, s + 1);
}

static void random_pattern(char out[8])
{
    static const char symbols[] = "aab**??";
    size_t n = 0;

    for (size_t tokens = (size_t)random() % 5; tokens > 0; tokens--) {
        if (random() % 6 == 0)
            out[n++] = '\\', out[n++] = "*?\\"[random() % 3];
        else
            out[n++] = symbols[random() % 7];
        if (n > 5)
            break;
    }
    out[n] = '\0';
}

static void text_of(u32 number, char out[8]) /* each of up to five of four bytes */
{
    size_t n = 0;

    for (; number != 0; number /= 5)
        out[n++] = "ab*\\?"[number % 5];
    out[n] = '\0';
}

static void patterns(void)
{
    char p[8], q[8], s[8];
    u32 contained = 0;

    for (int round = 0; round < 4000; round++) {
        bool within;

        random_pattern(p);
        random_pattern(q);
        within = pattern_within(p, strlen(p), q, strlen(q));
        contained += within;
        CHECK(pattern_valid(p, strlen(p)) && pattern_within(p, strlen(p), p, strlen(p)));
        CHECK(pattern_within(p, strlen(p), "*", 1));
        for (u32 number = 0; number < 3125; number++) {
            bool matches;

            text_of(number, s);
            matches = pattern_match(p, strlen(p), s, strlen(s));
            CHECK(matches == means(p, s));
            CHECK(!within || !matches || pattern_match(q, strlen(q), s, strlen(s)));
        }
    }
    CHECK(contained > 200);
    CHECK(pattern_within("a?b", 3, "a*", 2) && !pattern_within("a*", 2, "a?", 2));
    CHECK(pattern_within("a\\*", 3, "a?", 2) && !pattern_within("a*", 2, "a\\*", 3));
    CHECK(!pattern_valid("a\\", 2) && pattern_valid("a\\\\", 3) && !pattern_valid("a\0b", 3));
    CHECK(!pattern_match("--port=?", 8, "--port=", 7) && pattern_match("*", 1, "", 0));
    CHECK(!pattern_match("a", 1, "a\0", 2)); /* the whole text, whatever is in it */
}

int main(void)
{
    srandom(7);
    moves();
    compares();
    zeros();
    strings();
    printing();
    tree();
    patterns();
    return g_bad;
}
