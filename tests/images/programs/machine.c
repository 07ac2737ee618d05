/* SPDX-License-Identifier: Apache-2.0 */
/* For tests/integration/enclave-machines.bats: uses memory, threads and faults, and tells what the
 * enclave says of itself. Exit codes: 0 good, 1 wrong, 2 no memory, 3 no thread. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

extern char **environ;

static int use_memory(size_t mib)
{
    unsigned char *p = malloc(mib << 20);

    if (!p) {
        puts("no malloc");
        return 2;
    }
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < mib << 20; i += PAGE)
            p[i] = (unsigned char)((i / PAGE) * 7 + round);
        for (size_t i = 0; i < mib << 20; i += PAGE)
            if (p[i] != (unsigned char)((i / PAGE) * 7 + round))
                return 1;
    }
    puts("good");
    return 0;
}

static void *wait_for(void *barrier)
{
    pthread_barrier_wait(barrier);
    return NULL;
}

static int use_threads(unsigned count)
{
    pthread_t threads[64];
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, count + 1);
    for (unsigned i = 0; i < count && i < 64; i++) {
        if (pthread_create(&threads[i], NULL, wait_for, &barrier) != 0) {
            puts("no thread");
            return 3;
        }
    }
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < count && i < 64; i++)
        pthread_join(threads[i], NULL);
    puts("good");
    return 0;
}

/* Parent and child write to the same addresses, again and again. */
static int use_fork(unsigned count)
{
    static volatile unsigned values[1024];
    int status = 0;

    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < 1024; k++)
            values[k] = i + k;
        pid_t pid = fork();
        if (pid == 0) {
            for (unsigned k = 0; k < 1024; k++)
                values[k] = values[k] + 1;
            for (unsigned k = 0; k < 1024; k++)
                if (values[k] != i + k + 1)
                    _exit(1);
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            return 1;
        for (unsigned k = 0; k < 1024; k++)
            if (values[k] != i + k)
                return 1;
    }
    puts("good");
    return 0;
}

/* What a child writes into an inherited range, and then looks at while the others have theirs. */
static int fill_and_look(unsigned char *p, size_t size, unsigned char value)
{
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < size; i += PAGE)
            if (round == 0)
                p[i] = value;
            else if (p[i] != value)
                return 1;
        usleep(20000);
    }
    return 0;
}

/* Six children, each of which fills the same addresses: all at once they have six times as much. */
static int use_crowd(size_t mib)
{
    unsigned good = 0, killed = 0, wrong = 0;
    unsigned char *p = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                            -1, 0);

    if (p == MAP_FAILED)
        return 2;
    puts("six children"); /* what the last line needs is there before memory ends */
    fflush(stdout);
    for (unsigned char i = 1; i <= 6; i++)
        if (fork() == 0)
            _exit(fill_and_look(p, mib << 20, i));
    for (int status; wait(&status) > 0;) {
        good += status == 0;
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        wrong += WIFEXITED(status) && WEXITSTATUS(status) != 0;
    }
    printf("%s: %s, %s, %u wrong\n", good + killed == 6 && !wrong ? "crowd" : "bad",
           good ? "some good" : "none good", killed ? "some killed" : "none killed", wrong);
    return 0;
}

static sigjmp_buf g_back;

static void on_fault(int signo)
{
    siglongjmp(g_back, signo);
}

static const char *touch(volatile char *p, int write)
{
    if (sigsetjmp(g_back, 1) != 0)
        return "SIGSEGV";
    if (write)
        *p = 1;
    else
        (void)*p;
    return "nothing";
}

static int use_guards(void)
{
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    signal(SIGSEGV, on_fault);
    memset(p, 1, 3 * PAGE);
    mprotect(p, PAGE, PROT_READ);
    mprotect(p + PAGE, PAGE, PROT_NONE);
    munmap(p + 2 * PAGE, PAGE);
    const char *readonly = touch(p, 1), *none = touch(p + PAGE, 0);
    const char *unmapped = touch(p + 2 * PAGE, 0);
    printf("read-only %s, none %s, unmapped %s\n", readonly, none, unmapped);
    mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE);
    return p[0] == 1 && p[PAGE] == 1 ? 0 : 1;
}

static int read_report(unsigned char report[432])
{
    unsigned char target[512] = {0}, data[64] = {0};
    int t = open("/dev/attestation/target_info", O_WRONLY);
    int d = open("/dev/attestation/user_report_data", O_WRONLY);

    if (t < 0 || d < 0 || write(t, target, sizeof(target)) < 0 || write(d, data, sizeof(data)) < 0)
        return 1;
    int r = open("/dev/attestation/report", O_RDONLY);
    return r < 0 || read(r, report, 432) != 432;
}

/* ATTRIBUTES.FLAGS of the report: KSS is bit 7, DEBUG bit 1. */
static int show_attributes(void)
{
    unsigned char report[432];

    if (read_report(report) != 0)
        return 1;
    printf("kss %d debug %d\n", report[48] >> 7 & 1, report[48] >> 1 & 1);
    return 0;
}

static int show_report(void)
{
    unsigned char report[432];

    if (read_report(report) != 0)
        return 1;
    for (unsigned i = 0; i < sizeof(report); i++)
        printf("%02x", report[i]);
    puts("");
    return 0;
}

/* ---- whose report data ---- */

static void write_data(char letter)
{
    char data[64];
    int fd = open("/dev/attestation/user_report_data", O_WRONLY);

    memset(data, letter, sizeof(data));
    if (fd < 0 || write(fd, data, sizeof(data)) != sizeof(data))
        exit(2);
    close(fd);
}

/* What the report of this process is over: a letter, '0' for zeros, '?' for a mixture. */
static char data_letter(void)
{
    unsigned char report[432];
    int fd = open("/dev/attestation/report", O_RDONLY);

    if (fd < 0 || read(fd, report, sizeof(report)) != sizeof(report))
        exit(2);
    close(fd);
    for (int i = 1; i < 64; i++)
        if (report[320 + i] != report[320])
            return '?';
    return report[320] ? (char)report[320] : '0';
}

static char g_seen[32];
static unsigned g_seen_count;

/* Run fn in a child; what it exits with is what it saw. */
static void see(int (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(fn());
    waitpid(pid, &status, 0);
    g_seen[g_seen_count++] = WIFEXITED(status) ? (char)WEXITSTATUS(status) : '!';
}

static int only_read(void)
{
    return data_letter();
}

static int write_b(void)
{
    write_data('B');
    return data_letter();
}

static int as_user_write_c(void)
{
    if (setuid(1000) < 0)
        return '!';
    write_data('C');
    return data_letter();
}

static int as_user_read(void)
{
    return setuid(1000) < 0 ? '!' : data_letter();
}

static int own_session(void)
{
    return setsid() < 0 ? '!' : data_letter();
}

static int own_session_write(void)
{
    if (setsid() < 0)
        return '!';
    write_data('D');
    return data_letter();
}

static int grandchild(void)
{
    int status;

    if (fork() == 0)
        _exit(data_letter());
    wait(&status);
    return WEXITSTATUS(status);
}

static int keep_own(void)
{
    write_data('E');
    if (fork() == 0) {
        write_data('F');
        _exit(0);
    }
    wait(NULL);
    return data_letter();
}

static int show_report_data(void)
{
    see(only_read); /* 0: nobody wrote */
    write_data('A');
    see(only_read);                         /* A, the parent's */
    see(grandchild);                        /* A */
    see(write_b);                           /* B, its own */
    g_seen[g_seen_count++] = data_letter(); /* A: a child does not change its parent's */
    see(only_read);                         /* B: what a command of this shell wrote last */
    see(as_user_write_c);                   /* C */
    see(only_read);                         /* B: another user's does not count */
    see(as_user_read);      /* C: what its own user wrote last in the session, never root's */
    see(own_session);       /* 0 */
    see(own_session_write); /* D */
    see(only_read);         /* B */
    see(keep_own);          /* E */
    puts(g_seen);
    return 0;
}

static int show_signer_key(void)
{
    unsigned char key[16];
    int fd = open("/dev/attestation/keys/_sgx_mrsigner", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, key, sizeof(key));

    printf("signer key: %s\n", n == sizeof(key) ? "there" : strerror(errno));
    return 0;
}

static int show_attestation_type(void)
{
    char text[32] = "";
    int fd = open("/dev/attestation/attestation_type", O_RDONLY);

    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return 1;
    puts(text);
    return 0;
}

/* A TARGETINFO for which EREPORT would fault: an error for who wrote it, and for nobody else. */
static int show_bad_target(void)
{
    static const int reserved[] = {49, 56, 63, 128, 511};
    unsigned char report[432];
    int refused = 0;

    for (unsigned i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        unsigned char target[512] = {0};
        target[reserved[i]] = 1;
        int t = open("/dev/attestation/target_info", O_WRONLY);
        int done = write(t, target, sizeof(target)) == sizeof(target);
        int r = open("/dev/attestation/report", O_RDONLY);
        refused += !done || r < 0 || read(r, report, sizeof(report)) < 0;
        close(t);
        close(r);
    }
    printf("%d refused\n", refused);
    return read_report(report);
}

static int show_environment(const char *prefix)
{
    for (char **e = environ; *e; e++)
        if (strncmp(*e, prefix, strlen(prefix)) == 0)
            puts(*e);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *value = argc > 2 ? argv[2] : "0";

    if (strcmp(what, "memory") == 0)
        return use_memory(strtoul(value, NULL, 10));
    if (strcmp(what, "threads") == 0)
        return use_threads((unsigned)strtoul(value, NULL, 10));
    if (strcmp(what, "fork") == 0)
        return use_fork((unsigned)strtoul(value, NULL, 10));
    if (strcmp(what, "crowd") == 0)
        return use_crowd(strtoul(value, NULL, 10));
    if (strcmp(what, "report") == 0)
        return show_report();
    if (strcmp(what, "target") == 0)
        return show_bad_target();
    if (strcmp(what, "reportdata") == 0)
        return show_report_data();
    if (strcmp(what, "signerkey") == 0)
        return show_signer_key();
    if (strcmp(what, "attestation") == 0)
        return show_attestation_type();
    if (strcmp(what, "guard") == 0)
        return use_guards();
    if (strcmp(what, "attributes") == 0)
        return show_attributes();
    if (strcmp(what, "environment") == 0)
        return show_environment(value);
    return 1;
}
