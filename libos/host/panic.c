/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the enclave. From the first panic on g_dead is set: entry.S turns every entry away, no
 * thread goes back to user code, and no ocall is made but the one that tells the host. The host is
 * not asked for any of that. A thread that computes in user code ends when it next comes to the
 * LibOS; nothing inside can interrupt it.
 */
#include "log.h"
#include "host.h"

#define LINE_MAX_SIZE 512

u32 g_dead;
bool g_panic_details;

static void append(char *line, size_t size, size_t *n, const char *s, size_t length)
{
    length = MIN(length, size - 1 - *n);
    memcpy(line + *n, s, length);
    *n += length;
    line[*n] = '\0';
}

/*
 * What a production enclave says: words that everybody can read in the image. A value, or a string
 * that is not a constant of the image, may come of the application's registers or data: "?".
 */
static void constant_words(char *line, size_t size, const char *fmt, va_list ap)
{
    size_t n = 0;

    line[0] = '\0';
    while (*fmt != '\0') {
        const char *percent = strchr(fmt, '%');

        append(line, size, &n, fmt, percent != NULL ? (size_t)(percent - fmt) : strlen(fmt));
        if (percent == NULL)
            return;
        for (fmt = percent + 1; *fmt != '\0' && strchr("0123456789-+ #.lhz", *fmt) != NULL;)
            fmt++;
        if (*fmt == '\0')
            return;
        if (*fmt == '%') {
            append(line, size, &n, "%", 1);
        } else {
            /* One slot for each argument, whatever its type. */
            const char *s = va_arg(ap, const char *);
            bool constant = *fmt == 's' && is_image_constant(s);

            append(line, size, &n, constant ? s : "?", constant ? strlen(s) : 1);
        }
        fmt++;
    }
}

void panic(const char *fmt, ...)
{
    char line[LINE_MAX_SIZE];
    va_list ap;

    enclave_untold(); /* an interrupt is not to enter anew from here on: that is turned away */
    /* One line, of the first: nobody else has a word to say. */
    if (__atomic_exchange_n(&g_dead, 1, __ATOMIC_SEQ_CST) != 0)
        enclave_stop();
    va_start(ap, fmt);
    if (g_panic_details)
        vsnprintf(line, sizeof(line), fmt, ap);
    else
        constant_words(line, sizeof(line), fmt, ap);
    va_end(ap);
    host_abort(line);
}
