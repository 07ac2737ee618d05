/* SPDX-License-Identifier: Apache-2.0 */
/* All rows, for whoever has defined CALL and REFUSE (syscall.h). Included again and again. */
#include "table_proc.h"
#include "table_mm.h"
#include "table_fs.h"
#include "table_net.h"
