/* SPDX-License-Identifier: Apache-2.0 */
/* Private to libos/net: addresses at the edge to the host's sockets (host_name.c). */
#pragma once

#include "socket.h"

/* Addresses of 4 or 16 bytes. Leaving: -ENETUNREACH for the enclave's loopback. */
void host_address_arriving(u8 *addr, size_t n);
int host_address_leaving(u8 *addr, size_t n);
/* The same for a struct sockaddr of any family. *resolver is set when it is Docker's resolver,
 * which is then let through when it arrives. */
int host_name_leaving(u8 *name, u32 len, bool destination, bool *resolver);
void host_name_arriving(u8 *name, u32 len, bool resolver);
