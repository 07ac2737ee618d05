/* SPDX-License-Identifier: Apache-2.0 */
/* make-test-enclave FILE: the tests' tiny enclave as a file, for tests of command line tools. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "enclave.h"

int main(int argc, char **argv)
{
    struct sgx_sigstruct sigstruct;

    if (argc != 2)
        return 2;
    int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        perror(argv[1]);
        return 1;
    }
    test_enclave_make(fd, UINT64_MAX, 1, &sigstruct);
    close(fd);
    return 0;
}
