/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the parts of an installation are. The environment variables RUNE_LIBEXEC_DIR and
 * RUNE_RUNTIMES_DIR come first (a build tree, the tests), then the directories next to rune's own
 * binary, then those of the build.
 */
#pragma once

/* Absolute path of a program in libexec; malloc'd, not checked. */
char *locate_program(const char *name);
/* A path as it is; a bare name N is liberpal-N.so in the runtimes' directory. malloc'd, not
 * checked. */
char *locate_runtime(const char *path_or_name);
/* Another file there. malloc'd, not checked. */
char *locate_runtime_file(const char *name);
