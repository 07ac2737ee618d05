/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user writes for an engine. The first byte says which: 'l' a command line, words as a
 * shell has them; 'y' a YAML file, of compose or Kubernetes. Whatever is read is predicted, or
 * refused in one line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "enclave/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void predict(enum engine engine, const json_t *wish)
{
    struct error err = ERROR_INIT;
    json_t *config = engine_config(engine, wish, NULL, "/proc/self/fdinfo", &err);
    if (!config && !err.message)
        abort();
    json_decref(config);
    error_release(&err);
}

static void read_line(const char *text, struct error *err)
{
    json_t *words = engine_words(text, err);
    const size_t count = json_array_size(words);
    char **argv = xcalloc(count + 1, sizeof(*argv));
    enum engine engine;
    for (size_t i = 0; i < count; i++)
        argv[i] = xstrdup(json_string_value(json_array_get(words, i)));
    json_t *wish = count > 0 ? engine_line((int)count, argv, &engine, err) : NULL;
    if (wish)
        predict(engine, wish);
    json_decref(wish);
    for (size_t i = 0; i < count; i++)
        free(argv[i]);
    free(argv);
    json_decref(words);
}

static void read_yaml(const char *text, struct error *err)
{
    static const char *const variables[] = {"GIVEN=1", NULL};
    enum engine engine;
    char path[64];
    cleanup_close int fd = memfd_create("input", MFD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd < 0 || write_all(fd, text, strlen(text)) < 0)
        return;
    json_t *documents = engine_yaml(path, err);
    json_t *wishes = documents ? engine_file(documents, "/", variables, &engine, err) : NULL;
    for (size_t i = 0; i < json_array_size(wishes); i++)
        predict(engine, json_array_get(wishes, i));
    json_decref(wishes);
    json_decref(documents);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    if (size == 0)
        return 0;
    cleanup_free char *text = xstrndup((const char *)data + 1, size - 1);
    if (data[0] == 'l')
        read_line(text, &err);
    else
        read_yaml(text, &err);
    error_release(&err);
    return 0;
}
