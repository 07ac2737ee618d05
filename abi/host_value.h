/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variables that the host may fill in: the forms of their values, and names that no rule allows.
 * rune sorts variables out by this, the LibOS holds them against it (docs/design/identity.md). No
 * library is used, for both sides include it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manifest.h"

#define HOST_NAME_MAX_SIZE 64u

static inline bool host_value_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool host_value_is_alnum(char c)
{
    return host_value_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Bytes of a variable's name at the start of the text; 0: it is none. */
static inline size_t host_variable_name(const char *text)
{
    size_t n = 0;

    while (host_value_is_alnum(text[n]) || text[n] == '_')
        n++;
    return host_value_is_digit(text[0]) ? 0 : n;
}

/* As hosts have it: letters, digits, '-', '.' and '_'. */
static inline bool host_value_is_name(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!host_value_is_alnum(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_')
            return false;
    return size > 0 && size <= HOST_NAME_MAX_SIZE && s[0] != '.' && s[0] != '-';
}

static inline bool host_value_is_port(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!host_value_is_digit(s[i]))
            return false;
    return size > 0 && size <= 5;
}

/* Enough to tell an address from anything else that a program could be led by. */
static inline bool host_value_is_address(const char *s, size_t size)
{
    bool digit = false, mark = false;

    for (size_t i = 0; i < size; i++) {
        const bool hex = (s[i] >= 'a' && s[i] <= 'f') || (s[i] >= 'A' && s[i] <= 'F');
        if (!host_value_is_digit(s[i]) && !hex && s[i] != '.' && s[i] != ':')
            return false;
        digit = digit || host_value_is_digit(s[i]);
        mark = mark || s[i] == '.' || s[i] == ':';
    }
    return size <= 45 && digit && mark;
}

/* The protocol at the start of the text; 0: none. */
static inline size_t host_value_protocol(const char *s, size_t size)
{
    static const char *const names[] = {"tcp", "udp", "sctp"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = 0;
        while (names[i][n] != '\0' && n < size && names[i][n] == s[n])
            n++;
        if (names[i][n] == '\0')
            return n;
    }
    return 0;
}

static inline bool host_value_is_url(const char *s, size_t size)
{
    size_t at = host_value_protocol(s, size), end = size;

    if (at == 0 || size - at < 3 || s[at] != ':' || s[at + 1] != '/' || s[at + 2] != '/')
        return false;
    at += 3;
    while (end > at && s[end - 1] != ':')
        end--;
    if (end == at || !host_value_is_port(s + end, size - end))
        return false;
    end--;
    if (end - at > 2 && s[at] == '[' && s[end - 1] == ']') {
        at++;
        end--;
    }
    return host_value_is_address(s + at, end - at);
}

/* Is this a value of that form? kind: enum manifest_host_value. */
static inline bool host_value_fits(uint32_t kind, const char *s, size_t size)
{
    switch (kind) {
    case MANIFEST_VALUE_ANY:
        return true;
    case MANIFEST_VALUE_NAME:
        return host_value_is_name(s, size);
    case MANIFEST_VALUE_ADDRESS:
        return host_value_is_address(s, size);
    case MANIFEST_VALUE_PORT:
        return host_value_is_port(s, size);
    case MANIFEST_VALUE_PROTOCOL:
        return size > 0 && host_value_protocol(s, size) == size;
    case MANIFEST_VALUE_URL:
        return host_value_is_url(s, size);
    default:
        return false;
    }
}

/*
 * Variables that make any program another one: what the dynamic linker, the C library, shells and
 * interpreters load or run by them. A name that ends in '*' is a prefix.
 */
static inline bool host_variable_is_never(const char *name, size_t size)
{
    static const char *const names[] = {
        "LD_*",
        "PATH",
        "HOME",
        "IFS",
        "ENV",
        "CDPATH",
        "SHELL",
        "SHELLOPTS",
        "BASH*",
        "PS4",
        "PROMPT_COMMAND",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "GETCONF_DIR",
        "LOCPATH",
        "NLSPATH",
        "NIS_PATH",
        "HOSTALIASES",
        "LOCALDOMAIN",
        "RES_OPTIONS",
        "RESOLV_*",
        "MALLOC_*",
        "TMPDIR",
        "PYTHON*",
        "PERL*",
        "RUBY*",
        "GEM_*",
        "NODE_OPTIONS",
        "NODE_PATH",
        "NODE_EXTRA_CA_CERTS",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "CLASSPATH",
        "PHP*",
        "LUA_*",
        "GODEBUG",
        "GOTRACEBACK",
        "DOTNET_*",
        "CORECLR_*",
        "GIT_*",
        "SSL_CERT_*",
        "OPENSSL_*",
        "CURL_*",
        "EDITOR",
        "PAGER",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = 0;
        while (n < size && names[i][n] != '\0' && names[i][n] == name[n])
            n++;
        if (names[i][n] == '*' || (names[i][n] == '\0' && n == size))
            return true;
    }
    return false;
}
