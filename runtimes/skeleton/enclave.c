/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trusted half: what runs inside the enclave and is measured. It has no libc and calls nothing
 * outside. Its "programs" are the three that a first runtime wants to see work: hello, echo, cat;
 * and exit, for exit codes.
 *
 * Rule for everything that comes from the host: prove that it lies outside, copy it in once, check
 * the copy, use the copy.
 */
#include <stddef.h>

#include "call.h"

extern const char enclave_image_start[]; /* linker script: the first byte of ELRANGE */
void enclave_main(struct skeleton_call *outside);
void enclave_ereport(const void *target_info, const void *report_data, void *report);

/* One TCS, so one call at a time: pal.c's lock is a convenience, the processor's TCS check is the
 * guarantee. */
static struct skeleton_call g_call;
static uint8_t g_target_info[512] __attribute__((aligned(512)));
static uint8_t g_report_data[64] __attribute__((aligned(128)));
static uint8_t g_report[432] __attribute__((aligned(512)));

static void copy(void *to, const void *from, size_t size)
{
    volatile uint8_t *out = to; /* volatile: there is no memcpy to be called in place of the loop */
    const volatile uint8_t *in = from;
    for (size_t i = 0; i < size; i++)
        out[i] = in[i];
}

static int lies_outside(const void *pointer, size_t size)
{
    uint64_t start = (uint64_t)pointer, end = start + size;
    uint64_t base = (uint64_t)enclave_image_start;
    return end >= start && (end <= base || start >= base + SKELETON_SIZE);
}

static void put(const char *text, size_t size)
{
    if (size > sizeof(g_call.out) - g_call.out_size)
        size = sizeof(g_call.out) - g_call.out_size;
    copy(g_call.out + g_call.out_size, text, size);
    g_call.out_size += (uint32_t)size;
}

static size_t length(const char *text)
{
    size_t size = 0;
    while (text[size] != '\0')
        size++;
    return size;
}

static void put_text(const char *text)
{
    put(text, length(text));
}

static int same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static const char *base_name(const char *path)
{
    const char *base = path;
    for (; *path != '\0'; path++)
        if (*path == '/')
            base = path + 1;
    return base;
}

/* Argument `index` of argv, NULL beyond the last. in_size bytes end in a NUL: start_process() has
 * seen to it. */
static const char *argument(uint32_t index)
{
    const char *text = (const char *)g_call.in, *end = text + g_call.in_size;
    for (uint32_t i = 0; i < g_call.count && text < end; i++) {
        if (i == index)
            return text;
        text += length(text) + 1;
    }
    return NULL;
}

static void run_hello(void)
{
    const char *name = argument(1);
    put_text("hello, ");
    put_text(name != NULL ? name : "world");
    put_text(", from inside the enclave\n");
}

static void run_echo(void)
{
    const char *text;
    for (uint32_t i = 1; (text = argument(i)) != NULL; i++) {
        if (i > 1)
            put_text(" ");
        put_text(text);
    }
    put_text("\n");
}

static void run_exit(void)
{
    const char *text = argument(1);
    int code = 0;
    for (; text != NULL && *text >= '0' && *text <= '9'; text++)
        code = (code * 10 + (*text - '0')) & 0xff;
    g_call.exit_code = code;
}

static void start_process(void)
{
    g_call.state = SKELETON_DONE;
    if (g_call.in_size == 0 || g_call.in[g_call.in_size - 1] != '\0' || argument(0) == NULL) {
        g_call.exit_code = 127;
        return;
    }
    const char *name = base_name(argument(0));
    if (same(name, "hello"))
        run_hello();
    else if (same(name, "echo"))
        run_echo();
    else if (same(name, "exit"))
        run_exit();
    else if (same(name, "cat"))
        g_call.state = SKELETON_READS;
    else
        g_call.exit_code = 127;
}

static void take_input(void)
{
    g_call.state = g_call.in_size > 0 ? SKELETON_READS : SKELETON_DONE;
    put((const char *)g_call.in, g_call.in_size);
}

static void make_report(void)
{
    static const char data[] = "rune skeleton";
    copy(g_target_info, g_call.in, sizeof(g_target_info));
    copy(g_report_data, data, sizeof(data));
    enclave_ereport(g_target_info, g_report_data, g_report);
    put((const char *)g_report, sizeof(g_report));
}

void enclave_main(struct skeleton_call *outside)
{
    if (!lies_outside(outside, sizeof(*outside)))
        return;
    copy(&g_call, outside, offsetof(struct skeleton_call, out));
    g_call.out_size = 0;
    g_call.exit_code = 0;
    g_call.state = SKELETON_DONE;
    if (g_call.in_size > sizeof(g_call.in))
        return;
    if (g_call.command == SKELETON_START)
        start_process();
    else if (g_call.command == SKELETON_INPUT)
        take_input();
    else if (g_call.command == SKELETON_REPORT && g_call.in_size == sizeof(g_target_info))
        make_report();
    copy(&outside->out_size, &g_call.out_size, sizeof(g_call.out_size));
    copy(&outside->state, &g_call.state, sizeof(g_call.state));
    copy(&outside->exit_code, &g_call.exit_code, sizeof(g_call.exit_code));
    copy(outside->out, g_call.out, g_call.out_size);
}
