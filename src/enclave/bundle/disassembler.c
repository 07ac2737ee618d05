/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capstone, loaded when the first file is scanned: it has some 90,000 relocations, which every
 * start of a container would pay for, and only the first one of an image disassembles anything. The
 * functions here have the names of the library's, for who calls them; the library's own calls stay
 * within it.
 */
#include <capstone/capstone.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#define LIBRARY  "libcapstone.so." TEXT(CS_API_MAJOR)

#define FUNCTIONS(F) F(open) F(close) F(option) F(malloc) F(free) F(disasm) F(disasm_iter)

static struct {
    bool ready;
#define F(name) typeof(&cs_##name) name;
    FUNCTIONS(F)
#undef F
} g_capstone;

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        log_error("the disassembler cannot be loaded: %s", dlerror());
        return;
    }
    bool all = true;
#define F(name)                                                       \
    *(void **)(void *)&g_capstone.name = dlsym(library, "cs_" #name); \
    all = all && g_capstone.name != NULL;
    FUNCTIONS(F)
#undef F
    if (!all)
        log_error("%s lacks a function that the scan for system calls needs", LIBRARY);
    g_capstone.ready = all;
}

/* Whoever scans opens first, and stops when that fails. */
cs_err cs_open(cs_arch arch, cs_mode mode, csh *handle)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return g_capstone.ready ? g_capstone.open(arch, mode, handle) : CS_ERR_ARCH;
}

cs_err cs_close(csh *handle)
{
    return g_capstone.close(handle);
}

cs_err cs_option(csh handle, cs_opt_type type, size_t value)
{
    return g_capstone.option(handle, type, value);
}

cs_insn *cs_malloc(csh handle)
{
    return g_capstone.malloc(handle);
}

void cs_free(cs_insn *insn, size_t count)
{
    g_capstone.free(insn, count);
}

size_t cs_disasm(csh handle, const uint8_t *code, size_t code_size, uint64_t address, size_t count,
                 cs_insn **insn)
{
    return g_capstone.disasm(handle, code, code_size, address, count, insn);
}

bool cs_disasm_iter(csh handle, const uint8_t **code, size_t *size, uint64_t *address,
                    cs_insn *insn)
{
    return g_capstone.disasm_iter(handle, code, size, address, insn);
}
