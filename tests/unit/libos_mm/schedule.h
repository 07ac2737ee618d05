/* SPDX-License-Identifier: Apache-2.0 */
/* Included before the LibOS's sources (tests/unit/meson.build): each of their atomic accesses is a
 * place where schedule.c may let another thread run. */
#pragma once

void schedule_point(void);

#define __atomic_load_n(p, order)        (schedule_point(), __atomic_load_n(p, order))
#define __atomic_store_n(p, v, order)    (schedule_point(), __atomic_store_n(p, v, order))
#define __atomic_exchange_n(p, v, order) (schedule_point(), __atomic_exchange_n(p, v, order))
#define __atomic_add_fetch(p, v, order)  (schedule_point(), __atomic_add_fetch(p, v, order))
#define __atomic_sub_fetch(p, v, order)  (schedule_point(), __atomic_sub_fetch(p, v, order))
#define __atomic_fetch_or(p, v, order)   (schedule_point(), __atomic_fetch_or(p, v, order))
#define __atomic_fetch_and(p, v, order)  (schedule_point(), __atomic_fetch_and(p, v, order))
