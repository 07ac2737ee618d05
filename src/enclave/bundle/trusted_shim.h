/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where log lines of the trusted readers go on the host; NULL: nowhere. */
void trusted_log_divert(void (*sink)(const char *line));
