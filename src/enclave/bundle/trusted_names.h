/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trusted readers (libos/image, libos/crypto) compiled for the host: what they use of libos/lib
 * gets other names, so that it never collides with a host function when a program is linked.
 * trusted_shim.c provides them.
 */
#pragma once

#define kmalloc      trusted_kmalloc
#define kzalloc      trusted_kzalloc
#define kfree        trusted_kfree
#define page_alloc   trusted_page_alloc
#define page_free    trusted_page_free
#define mutex_lock   trusted_mutex_lock
#define mutex_unlock trusted_mutex_unlock
#define strlcpy      trusted_strlcpy
#define log_write    trusted_log_write
#define g_log_level  trusted_log_level
#define panic        trusted_panic
