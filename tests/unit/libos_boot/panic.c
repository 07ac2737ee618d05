/* SPDX-License-Identifier: Apache-2.0 */
/* What a panic tells the host: the values in a debug enclave, words of the image in another; one
 * line, of the first. */
#include "host.h"
#include "log.h"
#include <setjmp.h>

int printf(const char *format, ...);
int fork(void);
int waitpid(int pid, int *status, int options);

static const char g_constant[] = "stat";
static char g_said[1024];
static jmp_buf g_end;
static u32 g_count, g_bad;

bool is_image_constant(const char *s)
{
    return s == g_constant;
}

void enclave_untold(void)
{
}

void host_abort(const char *message)
{
    memcpy(g_said, message, MIN(strlen(message) + 1, sizeof(g_said)));
    longjmp(g_end, 1);
}

static void expect(bool good, const char *what)
{
    printf("%s %u - %s: \"%s\"\n", good ? "ok" : "not ok", ++g_count, what, g_said);
    g_bad += !good;
}

#define SAYS(details, line, ...)                     \
    do {                                             \
        g_dead = 0;                                  \
        g_panic_details = details;                   \
        if (setjmp(g_end) == 0)                      \
            panic(__VA_ARGS__);                      \
        expect(strcmp(g_said, line) == 0, #details); \
    } while (0)

int main(void)
{
    static char secret[] = "the application's", longer[700];
    int status = 0, pid;

    SAYS(true, "EACCEPT of 0xc0de failed with 19", "EACCEPT of 0x%lx failed with %d", 0xc0deul, 19);
    SAYS(false, "EACCEPT of 0x? failed with ?", "EACCEPT of 0x%lx failed with %d", 0xc0deul, 19);
    SAYS(true, "broke: stat", "broke: %s", g_constant);
    SAYS(false, "broke: stat", "broke: %s", g_constant);
    SAYS(false, "broke: ?, stat, ?", "broke: %s, %s, %zu", secret, g_constant, sizeof(secret));
    SAYS(false, "?, ?, ?, ?, ?, ?, ?, ?: stat", "%d, %u, %x, %lx, %llu, %08lx, %c, %-5s: %s", 1, 2,
         3, 4l, 5ll, 6l, 'c', secret, g_constant);
    SAYS(false, "100%", "100%%");
    SAYS(false, "no value at all", "no value at all");
    memset(longer, 'a', sizeof(longer) - 1);
    g_dead = 0;
    if (setjmp(g_end) == 0)
        panic("%s%s", longer, longer);
    expect(strcmp(g_said, "??") == 0, "longer than a line, and not the image's");

    /* The second one says nothing and goes nowhere. */
    pid = fork();
    if (pid == 0) {
        if (setjmp(g_end) == 0)
            panic("again");
        return 0; /* it came to the host */
    }
    waitpid(pid, &status, 0);
    expect((status & 0x7f) == 4 /* SIGILL */, "a second panic");
    printf("1..%u\n", g_count);
    return g_bad != 0;
}
