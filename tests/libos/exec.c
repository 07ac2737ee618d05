/* SPDX-License-Identifier: Apache-2.0 */
/* execve: arguments, environment, auxiliary vector, scripts, errors, what survives. */
#include "check.h"
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

extern char **environ;
static char g_self[4096], g_dir[] = "/tmp/exec-test-XXXXXX";

static int run(const char *path, char *const argv[], char *const env[])
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execve(path, argv, env);
        _exit(100 + errno);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void file(const char *name, const char *content, int mode, char path[4096])
{
    snprintf(path, 4096, "%s/%s", g_dir, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0700);
    CHECK(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    close(fd);
    CHECK(chmod(path, (mode_t)mode) == 0);
}

static void arguments(void)
{
    char *argv[] = {"zero", "show", "a b", "", "last", NULL}, *env[] = {"X=1", "EMPTY=", NULL};
    CHECK(run(g_self, argv, env) == 0);
    char *none[] = {NULL};
    (void)none;
}

static void auxiliary_vector(void)
{
    CHECK(getauxval(AT_PAGESZ) == 4096);
    CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
    CHECK(getauxval(AT_SECURE) == 0);
    CHECK(getauxval(AT_RANDOM) != 0 && getauxval(AT_PHDR) != 0 && getauxval(AT_ENTRY) != 0);
    CHECK(getauxval(AT_PHENT) == sizeof(Elf64_Phdr) && getauxval(AT_CLKTCK) == 100);
    CHECK(strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    CHECK(getauxval(AT_HWCAP) != 0 && getauxval(AT_MINSIGSTKSZ) > 1000);
    CHECK(strcmp((char *)getauxval(AT_EXECFN), g_self) == 0);
}

static void scripts(void)
{
    char path[4096], line[4200], nested[4096];
    char *argv[] = {"ignored", "one", "two", NULL}, *env[] = {NULL};
    snprintf(line, sizeof(line), "#!%s show  spaced argument \nrest\n", g_self);
    file("script", line, 0700, path);
    CHECK(run(path, argv, env) == 0);
    snprintf(line, sizeof(line), "#! %s\n", path);
    file("nested", line, 0700, nested);
    CHECK(run(nested, argv, env) == 0);
    file("self", "", 0700, path);
    snprintf(line, sizeof(line), "#!%s\n", path);
    file("self", line, 0700, path);
    CHECK(run(path, argv, env) == 100 + ELOOP);
    file("missing", "#!/no/such/interpreter\n", 0700, path);
    CHECK(run(path, argv, env) == 100 + ENOENT);
}

static void errors(void)
{
    char path[4096];
    char *argv[] = {"x", NULL}, *env[] = {NULL};
    CHECK(run("/no/such/file", argv, env) == 100 + ENOENT);
    CHECK(run("/", argv, env) == 100 + EACCES);
    CHECK(run("", argv, env) == 100 + ENOENT);
    file("plain", "hello\n", 0600, path);
    CHECK(run(path, argv, env) == 100 + EACCES);
    file("text", "hello\n", 0700, path);
    CHECK(run(path, argv, env) == 100 + ENOEXEC);
    file("empty", "", 0700, path);
    CHECK(run(path, argv, env) == 100 + ENOEXEC);
    file("elf", "\177ELF\2\1\1", 0700, path);
    CHECK(run(path, argv, env) == 100 + ENOEXEC);
    char *huge = malloc(200000);
    memset(huge, 'x', 199999);
    huge[199999] = '\0';
    char *big[] = {"x", huge, NULL};
    CHECK(run(g_self, big, env) == 100 + E2BIG);
    free(huge);
}

static void survival(void)
{
    char *argv[] = {"x", "state", NULL}, *env[] = {NULL};
    sigset_t set, old;
    int keep = open("/dev/null", O_RDONLY), lose = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(dup2(keep, 50) == 50 && dup3(lose, 51, O_CLOEXEC) == 51);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, (void (*)(int))0x1234560);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &old);
    CHECK(run(g_self, argv, env) == 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    close(keep), close(lose), close(50), close(51);
}

static int state(void)
{
    struct sigaction sa;
    sigset_t set;
    CHECK(fcntl(50, F_GETFD) >= 0 && fcntl(51, F_GETFD) == -1);
    CHECK(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
    CHECK(sigaction(SIGUSR2, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0 && sigismember(&set, SIGHUP) &&
          !sigismember(&set, SIGINT));
    return g_failed;
}

static void *exec_in_thread(void *arg)
{
    char *argv[] = {"x", "pid", arg, NULL}, *env[] = {NULL};
    execve(g_self, argv, env);
    _exit(99);
}

static void *idle(void *arg)
{
    for (;;)
        pause();
}

static void from_a_thread(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char text[32];
        pthread_t t;
        snprintf(text, sizeof(text), "%d", getpid());
        pthread_create(&t, NULL, idle, NULL);
        pthread_create(&t, NULL, exec_in_thread, text);
        for (;;)
            pause();
    }
    int s = -1;
    CHECK(waitpid(pid, &s, 0) == pid && s == 0);
}

static void spawns(void)
{
    char *argv[] = {"x", "exit", "42", NULL};
    pid_t pid = 0;
    int s = -1;
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        CHECK(posix_spawn(&pid, g_self, NULL, NULL, argv, environ) == 0);
        CHECK(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 42);
    }
    CHECK(posix_spawn(&pid, "/no/such", NULL, NULL, argv, environ) == ENOENT);
}

static void at_descriptor(void)
{
    char *argv[] = {"x", "exit", "3", NULL}, *env[] = {NULL};
    int fd = open(g_self, O_PATH | O_CLOEXEC), s = -1;
    pid_t pid = fork();
    if (pid == 0) {
        syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
        _exit(100 + errno);
    }
    CHECK(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 3);
    close(fd);
}

static int show(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    printf("argc %d:", argc);
    if (name) /* a script's path differs from run to run */
        printf(" <%s>", name + 1);
    else
        printf(" <%s>", argv[0]);
    for (int i = 1; i < argc; i++)
        printf(" <%s>", strncmp(argv[i], "/tmp/", 5) == 0 ? strrchr(argv[i], '/') + 1 : argv[i]);
    printf(" env:");
    for (char **e = environ; *e; e++)
        printf(" <%s>", *e);
    printf("\n");
    return 0;
}

/* A program in a memfd, by descriptor and by path, while the descriptor that wrote it is open. */
static void from_memory(void)
{
    char path[40], data[65536];
    ssize_t n;
    int status, in = open("/proc/self/exe", O_RDONLY), fd = memfd_create("program", 0);
    CHECK(in >= 0 && fd >= 0);
    while ((n = read(in, data, sizeof(data))) > 0)
        CHECK(write(fd, data, (size_t)n) == n);
    close(in);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    for (int how = 0; how < 2; how++) {
        char *const args[] = {"exec", "exit", "5", NULL};
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            if (how == 0)
                syscall(SYS_execveat, fd, "", args, environ, AT_EMPTY_PATH);
            else
                execv(path, args);
            _exit(errno == ETXTBSY ? 99 : 98);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 5);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strncmp(argv[1], "show", 4) == 0)
        return show(argc, argv);
    if (argc >= 2 && strcmp(argv[1], "state") == 0)
        return state();
    if (argc >= 3 && strcmp(argv[1], "exit") == 0)
        return (int)strtol(argv[2], NULL, 10);
    if (argc >= 3 && strcmp(argv[1], "pid") == 0)
        return getpid() == strtol(argv[2], NULL, 10) && syscall(SYS_gettid) == getpid() ? 0 : 1;
    CHECK(argv[0][0] == '/');
    snprintf(g_self, sizeof(g_self), "%s", argv[0]);
    CHECK(mkdtemp(g_dir) != NULL);
    RUN(arguments);
    RUN(auxiliary_vector);
    RUN(scripts);
    RUN(errors);
    RUN(survival);
    RUN(from_a_thread);
    RUN(spawns);
    RUN(at_descriptor);
    RUN(from_memory);
    static const char *const names[] = {"script", "nested", "self",  "missing",
                                        "plain",  "text",   "empty", "elf"};
    char path[4096];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", g_dir, names[i]);
        unlink(path);
    }
    rmdir(g_dir);
    return finish();
}
