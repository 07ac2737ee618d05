/* SPDX-License-Identifier: Apache-2.0 */
/* Swaps two names for each other as fast as it can, until it is killed: the racing half of an
 * attack on path lookups.   swap A B */
#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    for (;;)
        if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) < 0)
            perror("swap");
}
