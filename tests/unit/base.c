/* SPDX-License-Identifier: Apache-2.0 */
/* src/base: what other rooms lean on most: paths that must not leave a root, descriptors, JSON
 * types, errors. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/number.h"
#include "base/path.h"
#include "base/procfs.h"

static void test_path_clean(void **state)
{
    static const char *const cases[][2] = {
        {"/", "/"},
        {"", "."},
        {"a//b/./c", "a/b/c"},
        {"/a/../..", "/"},
        {"/a/b/../c", "/a/c"},
        {"../x/..", ".."},
        {"a/..", "."},
        {"/../a", "/a"},
        {"../../a", "../../a"},
        {"a/../../b", "../b"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_free char *clean = path_clean(cases[i][0]);
        assert_string_equal(clean, cases[i][1]);
    }
}

static void test_errors_nest(void **state)
{
    cleanup_error struct error err = ERROR_INIT;
    assert_int_equal(error_errno(&err, ENOENT, "open %s", "x"), -ENOENT);
    assert_int_equal(error_wrap(&err, "create container %s", "web"), -ENOENT);
    assert_string_equal(error_text(&err),
                        "create container web: open x: no such file or directory");
    assert_int_equal(error_set(NULL, "ignored"), -1);
}

static void test_in_root(void **state)
{
    char template[] = "/tmp/rune-unit-XXXXXX";
    assert_non_null(mkdtemp(template));
    cleanup_close int root = open(template, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    assert_int_equal(symlinkat("/../../etc", root, "out"), 0);
    assert_int_equal(symlinkat("/nowhere", root, "dangling"), 0);

    cleanup_close int made = path_mkdir_p_in_root(root, "/a/b/../c", 0755, NULL);
    assert_true(made >= 0);
    assert_int_equal(faccessat(root, "a/c", F_OK, 0), 0);
    /* The link points to /etc of the machine; in the root it must mean ROOT/etc. */
    cleanup_close int etc = path_mkdir_p_in_root(root, "etc/inner", 0755, NULL);
    assert_true(etc >= 0);
    cleanup_close int through = path_open_in_root(root, "out/inner", O_PATH, 0, NULL);
    assert_true(through >= 0);
    assert_int_equal(path_open_in_root(root, "out/passwd", O_RDONLY, 0, NULL), -ENOENT);
    /* What a dangling link points to is made, in the root. */
    cleanup_close int made_through = path_mkdir_p_in_root(root, "dangling/x", 0755, NULL);
    assert_true(made_through >= 0);
    assert_int_equal(faccessat(root, "nowhere/x", F_OK, 0), 0);
    assert_int_equal(access("/nowhere", F_OK), -1);
    assert_int_equal(symlinkat("../far/away.conf", root, "a/resolv.conf"), 0);
    cleanup_close int conf = path_make_target_in_root(root, "/a/resolv.conf", false, 0644, NULL);
    assert_true(conf >= 0);
    assert_int_equal(faccessat(root, "far/away.conf", F_OK, 0), 0);
    assert_int_equal(symlinkat("loop2", root, "loop1"), 0);
    assert_int_equal(symlinkat("loop1", root, "loop2"), 0);
    assert_true(path_mkdir_p_in_root(root, "loop1/x", 0755, NULL) < 0);
    cleanup_close int file = path_make_target_in_root(root, "deep/er/file", false, 0644, NULL);
    struct stat st;
    assert_true(file >= 0 && fstat(file, &st) == 0 && S_ISREG(st.st_mode));

    assert_int_equal(path_remove_tree(AT_FDCWD, template, NULL), 0);
    assert_int_equal(access(template, F_OK), -1);
}

static void test_fd_passing(void **state)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int sent[2] = {0, 1};
    assert_int_equal(fd_send(pair[0], "ab", 2, sent, 2), 0);
    int got[2];
    size_t count = 2;
    char data[8];
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, &count), 2);
    assert_int_equal(count, 2);
    assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    close(got[0]);
    close(got[1]);
    /* More descriptors than wanted are an error, and none of them stays open. */
    assert_int_equal(fd_send(pair[0], "ab", 2, sent, 2), 0);
    count = 1;
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, &count), -EMSGSIZE);
    assert_int_equal(count, 0);
    close(pair[0]);
    close(pair[1]);
}

static void test_json(void **state)
{
    static const char text[] =
        "{\"max\": 18446744073709551615, \"s\": \"12345678901234567890 \\\" \","
        "\"f\": 1.00000000000000000000001, \"n\": -1, \"null\": null}";
    cleanup_error struct error err = ERROR_INIT;
    cleanup_json json_t *root = json_parse(text, strlen(text), "test", &err);
    assert_non_null(root);
    uint64_t value = 0;
    assert_int_equal(json_get_uint64(root, "", "max", &value, &err), 1);
    assert_true(value == UINT64_MAX);
    const char *s = NULL;
    assert_int_equal(json_get_string(root, "", "s", &s, &err), 1);
    assert_string_equal(s, "12345678901234567890 \" ");
    assert_int_equal(json_get_string(root, "", "null", &s, &err), 0);
    assert_true(json_get_uint64(root, "linux.x", "n", &value, &err) < 0);
    assert_string_equal(error_text(&err), "linux.x.n: expected a non-negative integer");
    assert_null(json_parse("{\"a\":", 5, "config.json", &err));
    assert_non_null(strstr(error_text(&err), "config.json: line 1"));
}

static void test_json_case(void **state)
{
    static const char text[] =
        "{\"CPU\": 1, \"cpus\": 2, \"Cpus\": 3, \"NULL\": 4, \"null\": null}";
    cleanup_error struct error err = ERROR_INIT;
    cleanup_json json_t *root = json_parse(text, strlen(text), "test", &err);
    assert_non_null(root);
    uint64_t value = 0;
    assert_int_equal(json_get_uint64(root, "", "cpu", &value, &err), 1);
    assert_int_equal(value, 1);
    /* The exact name goes first, whatever its value. */
    assert_int_equal(json_get_uint64(root, "", "cpus", &value, &err), 1);
    assert_int_equal(value, 2);
    assert_int_equal(json_get_uint64(root, "", "null", &value, &err), 0);
    assert_int_equal(json_get_uint64(root, "", "cp", &value, &err), 0);
}

static void test_json_case_of_objects(void **state)
{
    static const char text[] = "{\"cpu\": {\"shares\": 1}, \"CPU\": {\"Cpus\": \"0\"}, \"Cpu\": 7}";
    cleanup_error struct error err = ERROR_INIT;
    cleanup_json json_t *root = json_parse(text, strlen(text), "test", &err);
    assert_non_null(root);
    json_t *cpu = NULL;
    uint64_t shares = 0;
    const char *cpus = NULL;
    /* The second time finds what the first one did. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(json_get_object(root, "", "cpu", &cpu, &err), 1);
        assert_int_equal(json_get_uint64(cpu, "cpu", "shares", &shares, &err), 1);
        assert_int_equal(json_get_string(cpu, "cpu", "cpus", &cpus, &err), 1);
        assert_int_equal(shares, 1);
        assert_string_equal(cpus, "0");
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},           {"17", 17},   {"4K", 4096},
                {"3M", 3u << 20},   {"0x10", 16}, {"2G", 2ull << 30},
                {"1T", 1ull << 40}, {"010", 10},  {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {"",          "-1",
                                      "+1",        " 1",
                                      "1 ",        "1k",
                                      "1KB",       "K",
                                      "1.5",       "0x",
                                      "M1",        "1e3",
                                      "lots",      "18446744073709551616",
                                      "16777216T", "99999999999999999999999999999999999999"};
    uint64_t value;
    for (size_t i = 0; i < array_count(good); i++) {
        assert_int_equal(number_parse(good[i].text, strlen(good[i].text), UINT64_MAX, &value), 0);
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < array_count(bad); i++)
        assert_int_equal(number_parse(bad[i], strlen(bad[i]), UINT64_MAX, &value), -EINVAL);
    assert_int_equal(number_parse("64M,x", 3, UINT64_MAX, &value), 0);
    assert_int_equal(number_parse("4K", 2, 4095, &value), -EINVAL);
}

static void test_replace_file(void **state)
{
    char template[] = "/tmp/rune-unit-XXXXXX";
    assert_non_null(mkdtemp(template));
    cleanup_close int dir = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(replace_file_at(dir, "f", "one", 3, 0600, true, NULL), 0);
    assert_int_equal(replace_file_at(dir, "f", "second", 6, 0600, false, NULL), 0);
    cleanup_buffer struct buffer content = BUFFER_INIT;
    assert_int_equal(read_file_at(dir, "f", &content, 100, NULL), 0);
    assert_string_equal(content.data, "second");
    cleanup_error struct error err = ERROR_INIT;
    buffer_clear(&content);
    assert_true(read_file_at(dir, "f", &content, 3, &err) < 0);
    assert_int_equal(err.code, EFBIG);
    path_remove_tree(AT_FDCWD, template, NULL);
}

static void test_procfs(void **state)
{
    uint64_t start = 0;
    char letter = 0;
    static const char stat[] = "7 (a) S) Z 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 123456 9\n";
    assert_int_equal(procfs_parse_stat(stat, &start, &letter), 0);
    assert_int_equal(letter, 'Z');
    assert_true(start == 123456);
    static const char *const bad[] = {"", "7 (a)", "7 (a) S 1 2 3", "7 (a)  S", "7 a S 1"};
    for (size_t i = 0; i < array_count(bad); i++)
        assert_int_equal(procfs_parse_stat(bad[i], &start, &letter), -EPROTO);

    char mounts[] = "36 35 98:0 /r /a\\040b rw,noatime master:1 x:2 - overlay over\\134lay rw,a=b\n"
                    "garbage\n37 36 0:5 / /proc rw - proc proc rw\n";
    char *rest = mounts;
    struct procfs_mount mount;
    assert_true(procfs_next_mount(&rest, &mount));
    assert_string_equal(mount.root, "/r");
    assert_string_equal(mount.point, "/a b");
    assert_string_equal(mount.type, "overlay");
    assert_string_equal(mount.source, "over\\lay");
    assert_string_equal(mount.options, "rw,a=b");
    assert_true(procfs_next_mount(&rest, &mount));
    assert_string_equal(mount.point, "/proc");
    assert_false(procfs_next_mount(&rest, &mount));

    char cgroups[] = "12:cpu,cpuacct:/a:b\nno\n0::/c\n";
    char *controllers, *path;
    rest = cgroups;
    assert_true(procfs_next_cgroup(&rest, &controllers, &path));
    assert_string_equal(controllers, "cpu,cpuacct");
    assert_string_equal(path, "/a:b");
    assert_true(procfs_next_cgroup(&rest, &controllers, &path));
    assert_string_equal(controllers, "");
    assert_string_equal(path, "/c");
    assert_false(procfs_next_cgroup(&rest, &controllers, &path));
}

static void test_close_except(void **state)
{
    int fds[6], keep[3];
    for (size_t i = 0; i < array_count(fds); i++) {
        fds[i] = fcntl(0, F_DUPFD_CLOEXEC, 200);
        assert_true(fds[i] >= 200);
    }
    keep[0] = fds[4];
    keep[1] = -1;
    keep[2] = fds[0];
    assert_int_equal(fd_close_except(200, keep, array_count(keep)), 0);
    for (size_t i = 0; i < array_count(fds); i++)
        assert_int_equal(fcntl(fds[i], F_GETFD) >= 0, i == 0 || i == 4);
    assert_true(fcntl(0, F_GETFD) >= 0);
    close(fds[0]);
    close(fds[4]);
}

/* Takes every low number, as criu's descriptors may, before it fails. */
static int fail_after_descriptors(void *ctx, struct error *err)
{
    for (int fd = 3; fd < CHILD_FDS_MAX; fd++)
        if (dup2(STDERR_FILENO, fd) < 0)
            return error_errno(err, errno, "dup2");
    return error_set(err, "no %s", (const char *)ctx);
}

static int become_shell(void *ctx, struct error *err)
{
    execl("/bin/sh", "sh", "-c", ctx, NULL);
    return error_errno(err, errno, "run sh");
}

static int succeed(void *ctx, struct error *err)
{
    return 0;
}

static void test_child(void **state)
{
    cleanup_error struct error err = ERROR_INIT;
    assert_true(child_start(fail_after_descriptors, (char[]){"luck"}, &err) < 0);
    assert_string_equal(error_text(&err), "no luck");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);

    pid_t pid = child_start(become_shell, (char[]){"exit 3"}, &err);
    assert_true(pid > 0);
    assert_int_equal(WEXITSTATUS(child_wait(pid)), 3);
    assert_int_equal(child_wait(pid), -1);

    pid = child_start(succeed, NULL, &err);
    assert_true(pid > 0);
    assert_int_equal(child_wait(pid), 0);
}

/* The signal is neither taken nor left pending, whatever the mask; what was pending stays. */
static void write_to_a_closed_pipe_raises_nothing(void **state)
{
    sigset_t pipe_only, before, pending;
    int ends[2];

    (void)state;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write_no_sigpipe(ends[1], "abc", 3), 3);
    close(ends[0]);
    assert_int_equal(write_no_sigpipe(ends[1], "abc", 3), -EPIPE);
    sigprocmask(SIG_BLOCK, &pipe_only, &before);
    assert_int_equal(write_no_sigpipe(ends[1], "abc", 3), -EPIPE);
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    raise(SIGPIPE);
    assert_int_equal(write_no_sigpipe(ends[1], "abc", 3), -EPIPE);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGPIPE));
    signal(SIGPIPE, SIG_IGN); /* takes the pending one away */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(write_no_sigpipe(-1, "abc", 3), -EBADF);
    close(ends[1]);
}

static unsigned g_lines;
static char g_line[200];

static void count_line(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    assert_int_equal(level, LOG_LEVEL_WARNING);
    snprintf(g_line, sizeof(g_line), "%s", text);
    g_lines++;
}

static void what_strangers_cause_is_ten_lines_in_ten_seconds(void **state)
{
    struct log_limit limit = {0};

    (void)state;
    log_divert(count_line, NULL);
    for (unsigned i = 0; i < 1000; i++)
        log_limited(&limit, LOG_LEVEL_WARNING, "line %u", i);
    assert_int_equal(g_lines, 10);
    assert_string_equal(g_line, "line 9");
    limit.window -= 10;
    log_limited(&limit, LOG_LEVEL_WARNING, "later");
    assert_string_equal(g_line, "later (and 990 lines before it that were left out)");
    log_limited(&limit, LOG_LEVEL_WARNING, "last");
    assert_string_equal(g_line, "last");
    log_divert(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_procfs),
        cmocka_unit_test(test_close_except),
        cmocka_unit_test(test_path_clean),
        cmocka_unit_test(test_errors_nest),
        cmocka_unit_test(test_in_root),
        cmocka_unit_test(test_fd_passing),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_case),
        cmocka_unit_test(test_json_case_of_objects),
        cmocka_unit_test(test_replace_file),
        cmocka_unit_test(test_child),
        cmocka_unit_test(write_to_a_closed_pipe_raises_nothing),
        cmocka_unit_test(what_strangers_cause_is_ten_lines_in_ten_seconds),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
