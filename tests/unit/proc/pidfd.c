/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor of a process is of that process (libos/proc/pidfd.c): what is sent by it reaches
 * nobody else, also when the process is waited for, and its number is another's, in the middle of
 * the call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proc.h"

#define NUMBER 300

int arch_prctl(int code, void *address);
long sys_pidfd_open(int pid, u32 flags);
long sys_pidfd_send_signal(int pidfd, int signal, uaddr info, u32 flags);

struct list_head g_processes;
struct mutex g_process_lock;
static struct process_hooks g_hooks;
const struct process_hooks *g_process_hooks = &g_hooks;

static struct process g_me, g_first, g_next;
static struct thread g_thread = {.process = &g_me};
static u64 g_tcb[512];
static struct file g_file;
static u32 g_of_first, g_of_next;
static bool g_replace; /* at the next lock */

static void enter_tree(struct process *p)
{
    list_add_tail(&p->all, &g_processes);
}

/* As another thread that waits for the first and forks with its number. */
static void replace(void)
{
    g_first.reaped = true;
    list_del(&g_first.all);
    enter_tree(&g_next);
}

void mutex_lock(struct mutex *m)
{
    if (g_replace)
        replace();
    g_replace = false;
}

int signal_send_process_locked(struct process *p, const struct siginfo_k *info, bool forced)
{
    g_of_first += p == &g_first;
    g_of_next += p == &g_next;
    return 0;
}

struct process *process_find(i32 pid)
{
    struct process *p;

    list_for_each_entry (p, &g_processes, all)
        if (p->pid == pid)
            return p;
    return NULL;
}

struct file *file_alloc(const struct file_ops *ops, u32 flags)
{
    g_file = (struct file){.ops = ops, .flags = flags};
    return &g_file;
}

int copy_from_user(void *dst, uaddr src, size_t n)
{
    memcpy(dst, (const void *)src.at, n);
    return 0;
}

bool cred_capable(const struct cred *c, int capability)
{
    return true;
}

/* ---- the rest does nothing ---- */
// clang-format off
void mutex_unlock(struct mutex *m) {}
struct file *fd_get(int fd) { return &g_file; }
int fd_install(struct file *f, bool cloexec) { return 3; }
void file_put(struct file *f) {}
struct process *process_get(struct process *p) { return p; }
void process_put(struct process *p) {}
struct thread *thread_find(i32 tid) { return NULL; }
int signal_send_thread_locked(struct thread *t, const struct siginfo_k *info, bool forced) { return 0; }
bool capable(int capability) { return true; }
int copy_to_user(uaddr dst, const void *src, size_t n) { return -EFAULT; }
int clear_user(uaddr dst, size_t n) { return -EFAULT; }
void fdinfo_line(struct fdinfo *to, const char *fmt, ...) {}
struct file *files_file(struct files *files, u64 fd) { return NULL; }
void files_put(struct files *files) {}
void poll_wait(struct poll_table *pt, struct waitq *q) {}
u64 clock_monotonic(void) { return 0; }
void siginfo_encode(const struct siginfo_k *info, u8 out[128]) {}
bool signal_default_ignored(int sig) { return false; }
int signal_dequeue(u64 set, struct siginfo_k *info) { return 0; }
void signal_flush_queue(struct list_head *queue, u64 *pending, u64 set) {}
void signal_mask_set_temporary(u64 mask) {}
bool signal_pending(void) { return false; }
u64 signal_pending_set(void) { return 0; }
void signal_set_mask_locked(struct thread *t, u64 mask) {}
int thread_wait(u64 deadline, bool interruptible, struct host_pollfd *fds, size_t count)
{ return -EINTR; }
int timespec_from_user(uaddr addr, u64 *ns) { return -EFAULT; }
void waitq_add(struct waitq *q, struct wait_entry *e) {}
void waitq_remove(struct wait_entry *e) {}
// clang-format on

static int setup(void **state)
{
    arch_prctl(0x1001 /* ARCH_SET_GS */, g_tcb);
    g_tcb[TCB_CURRENT / 8] = (u64)&g_thread;
    list_init(&g_processes);
    g_me = (struct process){.pid = 1};
    g_first = g_next = (struct process){.pid = NUMBER};
    list_init(&g_first.all);
    list_init(&g_next.all);
    enter_tree(&g_me);
    enter_tree(&g_first);
    g_of_first = g_of_next = 0;
    assert_int_equal(sys_pidfd_open(NUMBER, 0), 3);
    return 0;
}

static long send(bool with_info)
{
    static const struct {
        i32 signo, err, code;
        u8 rest[116];
    } info = {.signo = SIGTERM, .code = SI_QUEUE};

    return sys_pidfd_send_signal(3, SIGTERM, user_at(with_info ? (u64)&info : 0), 0);
}

static void a_signal_reaches_its_process(void **state)
{
    assert_int_equal(send(false), 0);
    assert_int_equal(send(true), 0);
    assert_int_equal(g_of_first, 2);
}

static void it_reaches_nobody_when_the_number_is_anothers(void **state)
{
    replace();
    assert_int_equal(send(false), -ESRCH);
    assert_int_equal(send(true), -ESRCH);
    assert_int_equal(g_of_first + g_of_next, 0);
}

static void nor_when_it_becomes_anothers_meanwhile(void **state)
{
    g_replace = true;
    assert_int_equal(send(false), -ESRCH);
    assert_int_equal(g_of_first + g_of_next, 0);
    setup(state);
    g_replace = true;
    assert_int_equal(send(true), -ESRCH);
    assert_int_equal(g_of_first + g_of_next, 0);
}

/* clone() gives the descriptor out before the child is there for others. */
static void nor_before_it_is_in_the_tree(void **state)
{
    list_del(&g_first.all);
    assert_int_equal(send(false), -ESRCH);
    assert_int_equal(g_of_first, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_signal_reaches_its_process, setup),
        cmocka_unit_test_setup(it_reaches_nobody_when_the_number_is_anothers, setup),
        cmocka_unit_test_setup(nor_when_it_becomes_anothers_meanwhile, setup),
        cmocka_unit_test_setup(nor_before_it_is_in_the_tree, setup),
    };

    return cmocka_run_group_tests_name("libos-pidfd", tests, NULL, NULL);
}
