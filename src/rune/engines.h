/* SPDX-License-Identifier: Apache-2.0 */
/* How the engines are told of rune: the text that goes into their configuration, and where. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

struct engine {
    const char *name;
    const char *file; /* of its configuration */
    bool own_file;    /* the file is for rune alone: it is written whole */
    const char *then; /* what makes the engine read it, and how rune is asked for then */
    /*
     * `old` is the file's text ("" when there is none), `rune` the program's path. 1: `text` goes
     * in at `offset`; 0: the engine knows rune already, by somebody else's hand; -1: it cannot be
     * done.
     */
    int (*plan)(const char *file, const struct buffer *old, const char *rune, struct buffer *text,
                size_t *offset, struct error *err);
};

/* NULL, with the names in the error, if there is none. */
const struct engine *engine_find(const char *name, struct error *err);
