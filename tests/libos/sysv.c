/* SPDX-License-Identifier: Apache-2.0 */
/* System V IPC: semaphores with undo, message queues, shared memory between processes. */
#include "check.h"
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static int op(int id, int num, int delta, int flags)
{
    struct sembuf b = {(unsigned short)num, (short)delta, (short)flags};
    return semop(id, &b, 1);
}

static void semaphores(void)
{
    int id = semget(IPC_PRIVATE, 3, 0600);
    CHECK(id >= 0);
    CHECK(semctl(id, 1, SETVAL, (union semun){.val = 2}) == 0 && semctl(id, 1, GETVAL) == 2);
    CHECK(op(id, 1, -2, 0) == 0 && op(id, 1, -1, IPC_NOWAIT) == -1 && errno == EAGAIN);
    CHECK(op(id, 5, 1, 0) == -1 && errno == EFBIG);
    CHECK(semctl(id, 0, SETVAL, (union semun){.val = 40000}) == -1 && errno == ERANGE);
    unsigned short all[3] = {1, 2, 3}, got[3] = {0};
    CHECK(semctl(id, 0, SETALL, (union semun){.array = all}) == 0);
    struct sembuf two[2] = {{0, -1, 0}, {2, -9, IPC_NOWAIT}};
    CHECK(semop(id, two, 2) == -1 && errno == EAGAIN);
    CHECK(semctl(id, 0, GETALL, (union semun){.array = got}) == 0 && got[0] == 1 && got[1] == 2 &&
          got[2] == 3);
    struct timespec ts = {0, 20000000};
    struct sembuf wait = {0, -5, 0};
    CHECK(semtimedop(id, &wait, 1, &ts) == -1 && errno == EAGAIN);
    struct semid_ds ds;
    CHECK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}) == 0 && ds.sem_nsems == 3 &&
          (ds.sem_perm.mode & 0777) == 0600);
    CHECK(semctl(id, 0, IPC_RMID) == 0 && semctl(id, 0, GETVAL) == -1 && errno == EINVAL);
}

static void semaphore_processes(void)
{
    int id = semget(IPC_PRIVATE, 2, 0600), s;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 50; i++)
            if (op(id, 0, -1, 0) < 0 || op(id, 1, 1, 0) < 0)
                _exit(1);
        _exit(op(id, 0, -1, 0) == -1 && errno == EIDRM ? 0 : 2);
    }
    for (int i = 0; i < 50; i++)
        CHECK(op(id, 0, 1, 0) == 0 && op(id, 1, -1, 0) == 0);
    pid_t undo = fork();
    if (undo == 0)
        _exit(op(id, 1, 7, SEM_UNDO) == 0 ? 0 : 1);
    CHECK(waitpid(undo, &s, 0) == undo && s == 0 && semctl(id, 1, GETVAL) == 0);
    while (semctl(id, 0, GETNCNT) != 1)
        sleep_ms(2);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
    CHECK(waitpid(pid, &s, 0) == pid && s == 0);
}

struct text {
    long type;
    char text[64];
};

static void messages(void)
{
    struct text m = {3, "three"}, r;
    int id = msgget(IPC_PRIVATE, 0600), s;
    CHECK(id >= 0 && msgsnd(id, &m, 6, 0) == 0);
    m.type = 1;
    memcpy(m.text, "one", sizeof("one"));
    CHECK(msgsnd(id, &m, 4, 0) == 0);
    CHECK(msgrcv(id, &r, 64, 2, IPC_NOWAIT) == -1 && errno == ENOMSG);
    CHECK(msgrcv(id, &r, 64, -3, 0) == 4 && r.type == 1 && strcmp(r.text, "one") == 0);
    CHECK(msgrcv(id, &r, 2, 0, 0) == -1 && errno == E2BIG);
    CHECK(msgrcv(id, &r, 2, 0, MSG_NOERROR) == 2 && r.type == 3 && memcmp(r.text, "th", 2) == 0);
    m.type = 0;
    CHECK(msgsnd(id, &m, 1, 0) == -1 && errno == EINVAL);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 20; i++) {
            struct text x = {i + 1, ""};
            if (msgsnd(id, &x, 1, 0) < 0)
                _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < 20; i++)
        CHECK(msgrcv(id, &r, 64, 0, 0) == 1 && r.type == i + 1);
    CHECK(waitpid(pid, &s, 0) == pid && s == 0);
    struct msqid_ds ds;
    CHECK(msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_qnum == 0 && ds.msg_lrpid == getpid());
    CHECK(msgctl(id, IPC_RMID, NULL) == 0 && msgsnd(id, &m, 1, 0) == -1 && errno == EINVAL);
}

static void shared_memory(void)
{
    key_t key = 0x4c69624f;
    int id = shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600), s;
    CHECK(id >= 0);
    CHECK(shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600) == -1 && errno == EEXIST);
    CHECK(shmget(key, 20000, 0600) == -1 && errno == EINVAL);
    CHECK(shmget(key, 0, 0600) == id);
    volatile int *p = shmat(id, NULL, 0);
    CHECK(p != (void *)-1 && p[2000] == 0);
    pid_t pid = fork();
    if (pid == 0) {
        p[2000] = 77;
        _exit(0);
    }
    CHECK(waitpid(pid, &s, 0) == pid && s == 0 && p[2000] == 77);
    struct shmid_ds ds;
    CHECK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 1 && ds.shm_segsz == 10000 &&
          ds.shm_cpid == getpid());
    CHECK(shmctl(id, IPC_RMID, NULL) == 0 && p[2000] == 77);
    CHECK(shmget(key, 0, 0600) == -1 && errno == ENOENT);
    CHECK(shmdt((void *)p) == 0 && shmdt((void *)p) == -1 && errno == EINVAL);
    CHECK(shmctl(id, IPC_STAT, &ds) == -1 && errno == EINVAL);
}

/* As ipcs looks: how many there are, then each by its place, then the tables of /proc. */
static void information(void)
{
    struct shm_info now;
    struct shmid_ds shm;
    struct semid_ds sem;
    struct msqid_ds msg;
    struct msginfo queues;
    char line[512];
    int seen = 0, s = shmget(IPC_PRIVATE, 5000, 0600), q = msgget(IPC_PRIVATE, 0600),
        n = semget(IPC_PRIVATE, 2, 0600), listed = 0;
    char *at = shmat(s, NULL, 0);
    CHECK(s >= 0 && q >= 0 && n >= 0 && at != (void *)-1);
    int top = shmctl(0, SHM_INFO, (struct shmid_ds *)&now);
    CHECK(top >= 0 && now.used_ids >= 1 && now.shm_tot >= 2);
    for (int i = 0; i <= top; i++)
        seen |= shmctl(i, SHM_STAT, &shm) == s && shm.shm_segsz == 5000 && shm.shm_nattch == 1;
    CHECK(seen);
    CHECK(shmctl(top + 1000, SHM_STAT, &shm) == -1 && errno == EINVAL);
    top = semctl(0, 0, SEM_INFO, (union semun){.buf = (void *)line});
    seen = 0;
    for (int i = 0; i <= top; i++)
        seen |= semctl(i, 0, SEM_STAT, (union semun){.buf = &sem}) == n && sem.sem_nsems == 2;
    CHECK(seen);
    CHECK(msgsnd(q, &(struct {
                     long type;
                     char c[4];
                 }){1, "abc"},
                 4, 0) == 0);
    CHECK(msgsnd(q, &(struct {
                     long type;
                     char c[4];
                 }){2, "def"},
                 4, 0) == 0);
    top = msgctl(0, MSG_INFO, (struct msqid_ds *)&queues);
    CHECK(top >= 0 && queues.msgpool >= 1 && queues.msgmap >= 2 && queues.msgtql >= 8);
    seen = 0;
    for (int i = 0; i <= top; i++)
        seen |= msgctl(i, MSG_STAT, &msg) == q && msg.msg_qnum == 2;
    CHECK(seen);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) /* a child has its parent's mappings */
        _exit(shmctl(s, IPC_STAT, &shm) == 0 && shm.shm_nattch == 2 ? 0 : 1);
    CHECK(waitpid(pid, &seen, 0) == pid && seen == 0);
    CHECK(shmctl(s, SHM_LOCK, NULL) == 0 && shmctl(s, IPC_STAT, &shm) == 0 &&
          (shm.shm_perm.mode & SHM_LOCKED));
    FILE *f = fopen("/proc/sysvipc/shm", "r");
    while (fgets(line, sizeof(line), f)) {
        int key, id;
        listed |= sscanf(line, "%d %d", &key, &id) == 2 && id == s;
    }
    fclose(f);
    CHECK(listed);
    CHECK(shmdt(at) == 0 && shmctl(s, IPC_STAT, &shm) == 0 && shm.shm_nattch == 0 &&
          shm.shm_dtime > 0 && shm.shm_lpid == getpid());
    CHECK(shmctl(s, IPC_RMID, NULL) == 0 && msgctl(q, IPC_RMID, NULL) == 0 &&
          semctl(n, 0, IPC_RMID) == 0);
}

static long setting(const char *path, const char *value)
{
    char old[64] = "";
    FILE *f = fopen(path, value ? "r+" : "r");
    if (!f || !fgets(old, sizeof(old), f))
        return -2;
    if (value) {
        rewind(f);
        fputs(value, f);
    }
    fclose(f);
    return atol(old);
}

/* Who restores a checkpoint names the next identifier: the setting holds once. Natively only root
 * of the machine may, so nothing is said of it there. */
static void chosen_identifiers(void)
{
    static const char *const paths[] = {"/proc/sys/kernel/msg_next_id",
                                        "/proc/sys/kernel/sem_next_id",
                                        "/proc/sys/kernel/shm_next_id"};
    for (int i = 0; i < 3; i++) {
        if (access(paths[i], W_OK) < 0 || setting(paths[i], "70007") != -1)
            continue;
        int id = i == 0   ? msgget(IPC_PRIVATE, 0600)
                 : i == 1 ? semget(IPC_PRIVATE, 1, 0600)
                          : shmget(IPC_PRIVATE, 4096, 0600);
        CHECK(id == 70007 && setting(paths[i], NULL) == -1);
        CHECK(setting(paths[i], "70007") == -1);
        int other = i == 0   ? msgget(IPC_PRIVATE, 0600)
                    : i == 1 ? semget(IPC_PRIVATE, 1, 0600)
                             : shmget(IPC_PRIVATE, 4096, 0600);
        CHECK(other >= 0 && other != id);
        CHECK((i == 0   ? msgctl(id, IPC_RMID, NULL) | msgctl(other, IPC_RMID, NULL)
               : i == 1 ? semctl(id, 0, IPC_RMID) | semctl(other, 0, IPC_RMID)
                        : shmctl(id, IPC_RMID, NULL) | shmctl(other, IPC_RMID, NULL)) == 0);
    }
}

/* Thousands of objects, each found by key and by number, and no two under one key. */
static void thousands_of_sets(void)
{
    enum { COUNT = 8000 };
    static int ids[COUNT];
    for (int i = 0; i < COUNT; i++)
        ids[i] = semget(0x51000000 + i, 1, IPC_CREAT | IPC_EXCL | 0600);
    int wrong = 0;
    for (int i = 0; i < COUNT; i++)
        wrong += ids[i] < 0 || semget(0x51000000 + i, 1, 0) != ids[i] ||
                 semctl(ids[i], 0, GETVAL) != 0;
    for (int i = 0; i < COUNT; i++)
        wrong += semctl(ids[i], 0, IPC_RMID) != 0;
    CHECK(wrong == 0 && semget(0x51000000, 1, 0) == -1 && errno == ENOENT);
}

static void no_huge_pages(void)
{
    errno = 0;
    int id = shmget(IPC_PRIVATE, 2 << 20, 0600 | IPC_CREAT | 04000 /* SHM_HUGETLB */);
    CHECK(id == -1 && (errno == ENOMEM || errno == EPERM));
}

int main(void)
{
    RUN(semaphores);
    RUN(semaphore_processes);
    RUN(messages);
    RUN(shared_memory);
    RUN(information);
    RUN(chosen_identifiers);
    RUN(thousands_of_sets);
    RUN(no_huge_pages);
    return finish();
}
