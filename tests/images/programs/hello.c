/* SPDX-License-Identifier: Apache-2.0 */
/* Built every way that a program can be linked: output, exit code and addresses that do not
 * move. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int local = 5;

static void *count(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
    }
    local += *(int *)arg;
    return (void *)(long)local;
}

int main(int argc, char **argv)
{
    pthread_t threads[4];
    int numbers[4] = {1, 2, 3, 4}, status;
    long sum = 0;
    int pipes[2];
    char buf[32] = "";

    printf("%d arguments, last %s, %s\n", argc, argv[argc - 1], getenv("GREETING"));
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, count, &numbers[i]))
            return 1;
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(threads[i], &r);
        sum += (long)r;
    }
    printf("counter %d, sum %ld, local %d\n", counter, sum, local);
    if (pipe(pipes))
        return 2;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        counter++;
        snprintf(buf, sizeof(buf), "child %d", counter);
        _exit(write(pipes[1], buf, strlen(buf)) > 0 ? 9 : 1);
    }
    if (read(pipes[0], buf, sizeof(buf) - 1) < 0 || waitpid(child, &status, 0) != child)
        return 3;
    printf("%s, parent %d, status %d\n", buf, counter, WEXITSTATUS(status));
    char *memory = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 4;
    memory[63 << 20] = 1;
    munmap(memory, 64 << 20);
    fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "again") != 0) {
        execl(argv[0], argv[0], "again", (char *)NULL);
        perror("exec");
    }
    printf("errno of close(-1): %d\n", close(-1) < 0 ? errno : 0);
    return 7;
}
