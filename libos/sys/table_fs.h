/* SPDX-License-Identifier: Apache-2.0 */
/* S(name, function, status, note): see libos/include/syscall.h. */
