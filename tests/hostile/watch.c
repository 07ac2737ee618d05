/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle: what the enclave asks for, before a lie touches it; the secret, which must never come
 * out; and how the run ended.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"
#include "tests/hostile/hostile.h"
#include "tests/hostile/secret.h"

#define AFTERLIFE_NS 100000000 /* what was under way when the enclave ended may still come out */
#define PIECE        (1u << 20)
#define SPARED       256

enum outcome { FINE, APPLICATION, REFUSED, HANG, HOST, FAULT };
static const char *const g_outcomes[] = {"fine", "application", "refused", "hang", "host", "fault"};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static char g_fault[2000], g_last_words[400];
static _Atomic uint64_t g_aborted; /* when */
static struct {
    uint64_t start, size;
} g_spared[SPARED];
static unsigned g_spared_count;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void fault(const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    pthread_mutex_lock(&g_lock);
    const size_t n = strlen(g_fault);
    if (strstr(g_fault, text) == NULL && n + sizeof(text) + 4 < sizeof(g_fault))
        snprintf(g_fault + n, sizeof(g_fault) - n, "%s%s", n ? " | " : "", text);
    pthread_mutex_unlock(&g_lock);
}

/* ---- the secret ---- */

static bool is_secret(const uint8_t *p)
{
    for (unsigned i = 0; i < SECRET_SIZE; i++)
        if ((p[i] ^ SECRET_KEY) != g_secret_hidden[i])
            return false;
    return true;
}

static const uint8_t *find_secret(const uint8_t *p, size_t size)
{
    const uint8_t first = g_secret_hidden[0] ^ SECRET_KEY;
    while (size >= SECRET_SIZE) {
        const uint8_t *at = memchr(p, first, size - SECRET_SIZE + 1);
        if (at == NULL || is_secret(at))
            return at;
        size -= (size_t)(at + 1 - p);
        p = at + 1;
    }
    return NULL;
}

/* A word of it, as a message would print a register. */
static bool names_secret(const char *text)
{
    for (unsigned i = 0; i < SECRET_SIZE / 8; i++) {
        char word[17];
        for (unsigned b = 0; b < 8; b++)
            snprintf(word + 2 * b, 3, "%02x", g_secret_hidden[8 * i + 7 - b] ^ SECRET_KEY);
        if (strstr(text, word) != NULL)
            return true;
    }
    return false;
}

/* Of an ocall's bytes, the argument says how many. */
static const char *text_of(const struct boundary_area *area, unsigned argument, char *room,
                           size_t size)
{
    const uint64_t n = area->args[argument] < size - 1 ? area->args[argument] : size - 1;
    memcpy(room, area->data, n);
    room[n] = '\0';
    return room;
}

/* ---- what the enclave says ---- */

static void hear(const char *text, uint64_t number)
{
    /* Ends that only a mistake of the LibOS's can have. */
    static const char *const own[] = {"LibOS fault", "sanitizer: ", ".c:"};
    if (names_secret(text))
        fault("a register with the secret in a message: %.200s", text);
    for (size_t i = 0; number == OCALL_ABORT && i < sizeof(own) / sizeof(own[0]); i++)
        if (strstr(text, own[i]) != NULL)
            fault("%.300s", text);
    if (number == OCALL_ABORT && g_aborted == 0) {
        snprintf(g_last_words, sizeof(g_last_words), "%.390s", text);
        g_aborted = now();
    }
}

void watch_ocall(const struct boundary_area *area, uint64_t number)
{
    char room[1024];
    const size_t size = number == OCALL_SEND || number == OCALL_WRITE ? 65536 : 4096;

    if (g_aborted != 0 && number != OCALL_ABORT && now() - g_aborted > AFTERLIFE_NS)
        fault("an ocall (%" PRIu64 ") after the enclave ended itself", number);
    if (find_secret((const uint8_t *)area->args, sizeof(area->args)) != NULL ||
        find_secret(area->data, size) != NULL)
        fault("the secret in ocall %" PRIu64, number);
    if (number == OCALL_ABORT || number == OCALL_LOG || number == OCALL_EVENT)
        hear(text_of(area,
                     number == OCALL_LOG     ? 1
                     : number == OCALL_EVENT ? 3
                                             : 0,
                     room, sizeof(room)),
             number);
    if (number == OCALL_WRITE && strstr(text_of(area, 1, room, sizeof(room)), g_host.bad) != NULL)
        fault("%.*s", (int)strcspn(strstr(room, g_host.bad), "\n"), strstr(room, g_host.bad));
}

void watch_exit(long rdx, long r8, long r9)
{
    if ((rdx | r8 | r9) != 0)
        fault("registers at an exit: rdx %lx r8 %lx r9 %lx", rdx, r8, r9);
}

void watch_spare(const void *start, uint64_t size)
{
    unsigned i = 0;
    pthread_mutex_lock(&g_lock);
    while (i < g_spared_count && g_spared[i].start != (uint64_t)start)
        i++;
    if (i == g_spared_count && i < SPARED) {
        g_spared[i].start = (uint64_t)start;
        g_spared[i].size = size;
        g_spared_count++;
    }
    pthread_mutex_unlock(&g_lock);
}

/* Where the emulator, which stands for the processor, keeps registers of the enclave. */
static bool is_spared(uint64_t address)
{
    for (unsigned i = 0; i < g_spared_count; i++)
        if (address - g_spared[i].start < g_spared[i].size)
            return true;
    const uint64_t block = address & -(uint64_t)EMU_STACK_BLOCK;
    uint64_t magic = 0;
    const struct iovec to = {&magic, sizeof(magic)}, from = {(void *)block, sizeof(magic)};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(magic) &&
           magic == EMU_THREAD_MAGIC;
}

static void scan(uint64_t start, uint64_t end, uint8_t *room)
{
    for (uint64_t at = start; at < end; at += PIECE) {
        const uint64_t want = end - at < PIECE + SECRET_SIZE ? end - at : PIECE + SECRET_SIZE;
        const struct iovec to = {room, want}, from = {(void *)at, want};
        ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
        const uint8_t *p = room;
        while (n > 0 && (p = find_secret(p, (size_t)(room + n - p))) != NULL) {
            const uint64_t found = at + (uint64_t)(p - room);
            if (found - (uint64_t)room >= PIECE + SECRET_SIZE && !is_spared(found))
                fault("the secret in host memory at %#" PRIx64 " (mapping %#" PRIx64 "-%#" PRIx64
                      ")",
                      found, start, end);
            p++;
        }
    }
}

/* All memory of the host half but ELRANGE. */
static void scan_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uint8_t *room = malloc(PIECE + SECRET_SIZE);
    uint64_t start, end;
    char mode[8];

    while (maps && room &&
           fscanf(maps, "%" SCNx64 "-%" SCNx64 " %7s%*[^\n]", &start, &end, mode) == 3) {
        const bool enclave = start >= g_host.base && start < g_host.base + g_host.size;
        if (!enclave && mode[0] == 'r' && end - start < 1ull << 30)
            scan(start, end, room);
    }
    if (maps)
        fclose(maps);
}

/* ---- the end ---- */

_Noreturn void __real__exit(int code);

void watch_end(int code)
{
    static atomic_flag over = ATOMIC_FLAG_INIT;
    enum outcome outcome = code < 0      ? HANG
                           : code == 0   ? FINE
                           : g_aborted   ? REFUSED
                           : code == 125 ? HOST
                                         : APPLICATION;

    if (atomic_flag_test_and_set(&over))
        for (;;)
            pause();
    if (g_aborted && g_host.ignore_abort)
        outcome = REFUSED;
    if (g_host.started)
        scan_memory();
    base_check();
    pthread_mutex_lock(&g_lock);
    if (g_fault[0] != '\0')
        outcome = FAULT;
    dprintf(STDERR_FILENO, "hostile: %s lies=%" PRIu64 " code=%d: %s\n", g_outcomes[outcome],
            g_host.lies, code, outcome == FAULT ? g_fault : g_last_words);
    __real__exit((int)outcome);
}

void watch_host(const char *message)
{
    pthread_mutex_lock(&g_lock);
    if (g_last_words[0] == '\0')
        snprintf(g_last_words, sizeof(g_last_words), "%.390s", message);
    pthread_mutex_unlock(&g_lock);
}

void watch_crash(int signo, uint64_t rip, uint64_t address)
{
    char text[200];
    Dl_info place = {0};
    if (dladdr((void *)rip, &place) != 0)
        rip -= (uint64_t)place.dli_fbase;
    snprintf(text, sizeof(text), "signal %d of host code at %s+%#" PRIx64 ", address %#" PRIx64,
             signo, place.dli_fname ? place.dli_fname : "?", rip, address);
    watch_host(text);
    watch_end(125);
}
