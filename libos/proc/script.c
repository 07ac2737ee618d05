/* SPDX-License-Identifier: Apache-2.0 */
/* The first line of a script, with Linux's rules (fs/binfmt_script.c describes them; execve(2)
 * "Interpreter scripts"). */
#include "proc.h"

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

int script_parse(const char *head, size_t size, struct script_line *out)
{
    size = MIN(size, (size_t)EXEC_HEAD_SIZE);
    if (size < 3 || head[0] != '#' || head[1] != '!')
        return -ENOEXEC;
    size_t end = 2;
    while (end < size && head[end] != '\n' && head[end] != '\0')
        end++;
    bool whole = end < size;
    size_t start = 2;
    while (start < end && blank(head[start]))
        start++;
    size_t name_end = start;
    while (name_end < end && !blank(head[name_end]))
        name_end++;
    /* A name that runs to the end of what is read may be cut off: running something else is worse
     * than failing. */
    if (name_end == start || (!whole && name_end == size && size == EXEC_HEAD_SIZE))
        return -ENOEXEC;
    size_t arg = name_end, arg_end = end;
    while (arg < end && blank(head[arg]))
        arg++;
    while (arg_end > arg && blank(head[arg_end - 1]))
        arg_end--;
    memcpy(out->interpreter, head + start, name_end - start);
    out->interpreter[name_end - start] = '\0';
    memcpy(out->argument, head + arg, arg_end - arg);
    out->argument[arg_end - arg] = '\0';
    return 0;
}
