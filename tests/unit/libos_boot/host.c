/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz target of the boundary as a test: seeded random hosts, and a few lies by name, each of
 * which must end the enclave. */
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
unsigned fuzz_enclave_ends(void);

struct script {
    uint8_t bytes[4096];
    size_t size;
};

static void put(struct script *s, uint32_t v)
{
    memcpy(s->bytes + s->size, &v, sizeof(v));
    s->size += sizeof(v);
}

/* One call: room of n bytes, then family and function as the target reads them. */
static void call(struct script *s, uint32_t n, uint32_t family, uint32_t which)
{
    put(s, 1);
    put(s, n);
    put(s, family);
    put(s, which);
}

/* The host's answer: ret, four outs. */
static void answer(struct script *s, uint64_t ret, uint32_t out0)
{
    put(s, 2);
    memcpy(s->bytes + s->size, &ret, sizeof(ret));
    s->size += sizeof(ret);
    for (int i = 0; i < 4; i++) {
        put(s, 1);
        put(s, i == 0 ? out0 : 0);
    }
    put(s, 0);
}

static int expect(const char *what, const struct script *s, unsigned ends)
{
    unsigned before = fuzz_enclave_ends();

    LLVMFuzzerTestOneInput(s->bytes, s->size);
    if (fuzz_enclave_ends() - before == ends)
        return 0;
    printf("%s: the enclave ended %u times, %u expected\n", what, fuzz_enclave_ends() - before,
           ends);
    return 1;
}

/* The host's answer to READ: an event with a name of `len` bytes, of `size` bytes in all. */
static void answer_event(struct script *s, uint32_t wd, uint32_t len, const char *name,
                         uint32_t size)
{
    uint64_t ret = size;
    const uint32_t event[4] = {wd, 0x100, 0, len};

    put(s, 2);
    memcpy(s->bytes + s->size, &ret, sizeof(ret));
    s->size += sizeof(ret);
    for (int i = 0; i < 4; i++) {
        put(s, 1);
        put(s, 0);
    }
    put(s, sizeof(event) + 16);
    memcpy(s->bytes + s->size, event, sizeof(event));
    memset(s->bytes + s->size + sizeof(event), 0, 16);
    memcpy(s->bytes + s->size + sizeof(event), name, strlen(name));
    s->size += sizeof(event) + 16;
}

static int inotify_lies(void)
{
    static const struct {
        const char *what;
        uint32_t wd, len;
        const char *name;
        uint32_t size;
        unsigned ends;
    } rows[] = {
        {"inotify: as it should be", 1, 16, "name", 32, 0},
        {"inotify: no name", 1, 0, "", 16, 0},
        {"inotify: a record that is cut short", 1, 16, "name", 15, 1},
        {"inotify: a name beyond the end", 1, 32, "name", 32, 1},
        {"inotify: a name of another directory", 1, 16, "a/b", 32, 1},
        {"inotify: a name without an end", 1, 16, "0123456789abcdef", 32, 1},
        {"inotify: an empty name", 1, 16, "", 32, 1},
        {"inotify: a watch that cannot be", (uint32_t)-2, 16, "name", 32, 1},
    };
    int bad = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct script s = {.size = 0};

        call(&s, 100, 0, 9);
        answer_event(&s, rows[i].wd, rows[i].len, rows[i].name, rows[i].size);
        bad += expect(rows[i].what, &s, rows[i].ends);
    }
    return bad;
}

/* The host's answer to QUOTE: `size` bytes, of a quote of the target's report. */
static void answer_quote(struct script *s, uint8_t version, uint8_t body, uint32_t left,
                         uint32_t size)
{
    uint8_t quote[500] = {[0] = version};
    uint64_t ret = size;
    uint32_t at = version == 5 ? 54 : 48;

    if (version == 5)
        memcpy(quote + 48, "\1\0\200\1\0\0", 6);
    memcpy(quote + at, "a report", 8);
    quote[at + 383] = body;
    memcpy(quote + at + 384, &left, sizeof(left));
    put(s, 2);
    memcpy(s->bytes + s->size, &ret, sizeof(ret));
    s->size += sizeof(ret);
    for (int i = 0; i < 4; i++) {
        put(s, 1);
        put(s, 0);
    }
    put(s, sizeof(quote));
    memcpy(s->bytes + s->size, quote, sizeof(quote));
    s->size += sizeof(quote);
}

static int quote_lies(void)
{
    static const struct {
        const char *what;
        uint8_t version, body;
        uint32_t left, size;
        unsigned ends;
    } rows[] = {
        {"quote: as it should be", 3, 0, 60, 500, 0},
        {"quote: version 5", 5, 0, 50, 500, 0},
        {"quote: with more behind it", 4, 0, 10, 500, 0},
        {"quote: of another report", 3, 1, 60, 500, 1},
        {"quote: longer than the answer", 3, 0, 65, 500, 1},
        {"quote: of no length that there is", 3, 0, UINT32_MAX, 500, 1},
        {"quote: no signatures", 3, 0, 0, 500, 1},
        {"quote: a version that is none", 6, 0, 60, 500, 1},
        {"quote: cut in the body", 3, 0, 60, 400, 1},
        {"quote: nothing", 3, 0, 60, 0, 1},
    };
    int bad = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct script s = {.size = 0};

        put(&s, 0); /* a big room, */
        put(&s, 8000);
        put(&s, 2);
        put(&s, 5);
        answer_quote(&s, rows[i].version, rows[i].body, rows[i].left, rows[i].size);
        bad += expect(rows[i].what, &s, rows[i].ends);
    }
    return bad;
}

static int lies(void)
{
    struct script s = {.size = 0};
    int bad = 0;

    call(&s, 100, 0, 0);
    put(&s, 1); /* host_read at the descriptor's position */
    answer(&s, 101, 0);
    bad += expect("read: more bytes than asked", &s, 1);

    s.size = 0;
    call(&s, 100, 0, 0);
    put(&s, 1);
    answer(&s, 100, 0);
    bad += expect("read: as many bytes as asked", &s, 0);

    s.size = 0;
    call(&s, 100, 0, 0);
    put(&s, 1);
    answer(&s, (uint64_t)-4096, 0);
    bad += expect("read: an errno that Linux does not have", &s, 1);

    s.size = 0;
    call(&s, 100, 0, 3);
    answer(&s, 5, 0); /* the path that was asked about, and its NUL */
    bad += expect("readlink: a target with a NUL", &s, 1);

    s.size = 0;
    call(&s, 100, 0, 8);
    answer(&s, 0, 7);
    bad += expect("lock: a type that is none", &s, 1);

    bad += inotify_lies();
    bad += quote_lies();

    s.size = 0;
    call(&s, 100, 1, 2);
    answer(&s, 3, 129);
    bad += expect("accept: an address longer than any", &s, 1);

    s.size = 0;
    call(&s, 16, 2, 0);
    answer(&s, 3, 0);
    bad += expect("poll: more ready descriptors than there are", &s, 1);
    return bad;
}

int main(void)
{
    static uint8_t bytes[8192];
    int bad = lies();

    srandom(20240611);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)random() % sizeof(bytes);

        for (size_t k = 0; k < n; k += 4) {
            uint32_t v = (uint32_t)random();

            memcpy(bytes + k, &v, k + 4 <= n ? 4 : n - k);
        }
        LLVMFuzzerTestOneInput(bytes, n);
    }
    if (fuzz_enclave_ends() < 1000)
        bad += printf(
            "random hosts ended the enclave only %u times: the test does not reach the checks\n",
            fuzz_enclave_ends());
    return bad != 0;
}
