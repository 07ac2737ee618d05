/* SPDX-License-Identifier: Apache-2.0 */
/* The real host behind g_host_ops: leave the enclave on this thread's TCS. */
#include "host_call.h"
#include "tcb.h"
#include "vector.h"

static struct host_memory *enclave_area(void)
{
    return tcb()->area;
}

static void enclave_call(u32 number)
{
    if (unlikely(__atomic_load_n(&g_dead, __ATOMIC_SEQ_CST) != 0) && number != OCALL_ABORT)
        enclave_stop();
    tcb()->ocalls++;
    vector_leave();
    ocall_leave(number);
}

static const struct host_ops g_enclave_ops = {enclave_area, enclave_call};
const struct host_ops *g_host_ops = &g_enclave_ops;
