/* SPDX-License-Identifier: Apache-2.0 */
/* vsnprintf: d i u x X o c s p %, h hh l ll z, width, *, 0, -, .precision. */
#include "lib.h"

struct out {
    char *buf;
    size_t size, n;
};

struct spec {
    bool left, zero;
    int width, precision; /* precision -1: none */
    int length;           /* bytes of an integer argument */
};

static void put(struct out *o, char c)
{
    if (o->n + 1 < o->size)
        o->buf[o->n] = c;
    o->n++;
}

static void pad(struct out *o, char c, int n)
{
    for (; n > 0; n--)
        put(o, c);
}

static void put_string(struct out *o, const struct spec *sp, const char *s, size_t n)
{
    int fill = sp->width - (int)n;

    if (!sp->left)
        pad(o, ' ', fill);
    for (size_t i = 0; i < n; i++)
        put(o, s[i]);
    if (sp->left)
        pad(o, ' ', fill);
}

static void put_number(struct out *o, const struct spec *sp, u64 v, unsigned base, bool upper,
                       const char *prefix)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char tmp[24];
    int n = 0, zeros, fill;

    do {
        tmp[n++] = digits[v % base];
        v /= base;
    } while (v > 0);
    zeros = sp->precision > n ? sp->precision - n : 0;
    fill = sp->width - n - zeros - (int)strlen(prefix);
    if (!sp->left && !(sp->zero && sp->precision < 0))
        pad(o, ' ', fill);
    for (; *prefix != '\0'; prefix++)
        put(o, *prefix);
    if (!sp->left && sp->zero && sp->precision < 0)
        pad(o, '0', fill);
    pad(o, '0', zeros);
    while (n > 0)
        put(o, tmp[--n]);
    if (sp->left)
        pad(o, ' ', fill);
}

static const char *parse_digits(const char *p, int *value)
{
    int v = 0;

    for (; *p >= '0' && *p <= '9'; p++)
        v = v < 100000 ? v * 10 + (*p - '0') : v;
    *value = v;
    return p;
}

static const char *parse_length(const char *p, struct spec *sp)
{
    sp->length = 4;
    for (;; p++) {
        if (*p == 'l' || *p == 'z' || *p == 'j' || *p == 't')
            sp->length = 8;
        else if (*p == 'h')
            sp->length = sp->length == 2 ? 1 : 2;
        else
            return p;
    }
}

/* The caller's va_list by pointer: it advances here. */
static void convert(struct out *o, const struct spec *sp, char c, va_list *ap)
{
    u64 v;
    i64 i;
    const char *s;
    char ch;

    switch (c) {
    case 'd':
    case 'i':
        i = sp->length == 8 ? va_arg(*ap, i64) : va_arg(*ap, int);
        put_number(o, sp, i < 0 ? 0 - (u64)i : (u64)i, 10, false, i < 0 ? "-" : "");
        break;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        v = sp->length == 8 ? va_arg(*ap, u64) : va_arg(*ap, unsigned);
        if (sp->length < 4)
            v &= sp->length == 1 ? 0xff : 0xffff;
        put_number(o, sp, v, c == 'u' ? 10 : c == 'o' ? 8 : 16, c == 'X', "");
        break;
    case 'p':
        put_number(o, sp, (uintptr_t)va_arg(*ap, void *), 16, false, "0x");
        break;
    case 'c':
        ch = (char)va_arg(*ap, int);
        put_string(o, sp, &ch, 1);
        break;
    case 's':
        s = va_arg(*ap, const char *);
        if (s == NULL)
            s = "(null)";
        put_string(o, sp, s, sp->precision >= 0 ? strnlen(s, (size_t)sp->precision) : strlen(s));
        break;
    case '%':
        put(o, '%');
        break;
    default:
        put(o, '%');
        put(o, c);
    }
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
    struct out o = {buf, size, 0};
    va_list ap;

    va_copy(ap, args);
    for (const char *p = fmt; *p != '\0'; p++) {
        struct spec sp = {.precision = -1};

        if (*p != '%') {
            put(&o, *p);
            continue;
        }
        for (p++; *p == '-' || *p == '0' || *p == '+' || *p == ' ' || *p == '#'; p++) {
            sp.left = sp.left || *p == '-';
            sp.zero = sp.zero || *p == '0';
        }
        if (*p == '*') {
            sp.width = va_arg(ap, int);
            p++;
        } else {
            p = parse_digits(p, &sp.width);
        }
        if (*p == '.') {
            if (p[1] == '*') {
                sp.precision = va_arg(ap, int);
                p += 2;
            } else {
                p = parse_digits(p + 1, &sp.precision);
            }
        }
        p = parse_length(p, &sp);
        if (*p == '\0')
            break;
        convert(&o, &sp, *p, &ap);
    }
    va_end(ap);
    if (size > 0)
        buf[o.n < size ? o.n : size - 1] = '\0';
    return (int)o.n;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
