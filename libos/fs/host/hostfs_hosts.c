/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/hosts that an engine binds: the host's word, but for localhost. Whoever asks for that name
 * gets the enclave's own loopback, so these lines come first and the host's lines have no such
 * names. The text is made when the file is read from its start and stays for that open file: a
 * host that changes its file between two reads puts no name together. No mappings, for the same
 * reason. And the enclave's own lines are there for everybody, whatever the host says: who cannot
 * read this file asks the DNS for localhost, which is the host.
 */
#include "hostfs.h"

#define HOSTS_MAX (4u << 20)
#define CHUNK     (16u << 10)

static const char g_own[] =
    "127.0.0.1\tlocalhost localhost.localdomain localhost4 localhost4.localdomain4\n"
    "::1\tlocalhost ip6-localhost ip6-loopback localhost6 localhost6.localdomain6\n";

_Static_assert(sizeof(g_own) < HOSTS_ROOM(0), "and a line feed");

struct word {
    const char *start;
    size_t size;
};

static bool is_text(const struct word *w, const char *text, size_t from)
{
    size_t n = strlen(text);

    if (w->size - from != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = w->start[from + i];

        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != text[i])
            return false;
    }
    return true;
}

/* Names that mean this machine: the lines above say where they are. */
static bool is_localhost(const struct word *name)
{
    static const char *const names[] = {
        "localhost",  "localhost.localdomain",   "localhost4",    "localhost4.localdomain4",
        "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (is_text(name, names[i], 0))
            return true;
    return false;
}

/* May the host say this name of that address? */
static bool is_hosts(struct word name, const struct word *address)
{
    static const char below[] = ".localhost"; /* RFC 6761: names of the loopback, too */
    const size_t n = sizeof(below) - 1;

    for (size_t i = 0; i < name.size; i++)
        if ((u8)name.start[i] >= 0x7f)
            return false;
    while (name.size && name.start[name.size - 1] == '.')
        name.size--;
    if (name.size == 0 || is_localhost(&name))
        return false;
    return name.size < n || !is_text(&name, below, name.size - n) ||
           is_text(address, "127.0.0.1", 0) || is_text(address, "::1", 0);
}

/* The next word of the line. What is no visible character parts words: resolvers do not agree on
 * more. */
static bool next_word(const char **at, const char *end, struct word *out)
{
    while (*at < end && (u8) * *at <= ' ')
        ++*at;
    *out = (struct word){.start = *at};
    while (*at < end && (u8) * *at > ' ')
        ++*at;
    out->size = (size_t)(*at - out->start);
    return out->size > 0;
}

static size_t put(char *out, const struct word *w, char end)
{
    memcpy(out, w->start, w->size);
    out[w->size] = end;
    return w->size + 1;
}

/* A line in its usual form, without what the host may not say; nothing when no name is left. */
static size_t put_line(const char *at, const char *end, char *out)
{
    const char *comment = memchr(at, '#', (size_t)(end - at));
    struct word address, name;
    size_t used = 0;

    if (comment)
        end = comment;
    if (!next_word(&at, end, &address))
        return 0;
    while (next_word(&at, end, &name)) {
        if (!is_hosts(name, &address))
            continue;
        if (used == 0)
            used = put(out, &address, '\t');
        used += put(out + used, &name, ' ');
    }
    if (used)
        out[used - 1] = '\n';
    return used;
}

size_t hosts_text(const char *text, size_t size, char *out)
{
    size_t used = sizeof(g_own) - 1;

    memcpy(out, g_own, used);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at : size - at;

        used += put_line(text + at, text + at + n, out + used);
        at += n + 1;
    }
    return used;
}

/* All of the host's file. */
static int read_all(hostfd fd, char **out, size_t *size)
{
    size_t used = 0, room = 0;
    char *buf = NULL;

    for (;;) {
        ssize_t r;

        if (used == room) {
            char *more = room < HOSTS_MAX ? krealloc(buf, room ? room * 2 : CHUNK) : NULL;

            if (!more) {
                kfree(buf);
                return room < HOSTS_MAX ? -ENOMEM : -EFBIG;
            }
            buf = more;
            room = room ? room * 2 : CHUNK;
        }
        r = host_read(fd, buf + used, room - used, (off_t)used);
        if (r < 0) {
            kfree(buf);
            return (int)r;
        }
        if (r == 0)
            break;
        used += (size_t)r;
    }
    *out = buf;
    *size = used;
    return 0;
}

/* fd -1, or one that cannot be read: the host says nothing. */
static int load(hostfd fd, char **out, size_t *size)
{
    char *text = NULL, *own;
    size_t n = 0;

    if (hostfd_ok(fd) && read_all(fd, &text, &n) < 0)
        n = 0;
    own = kmalloc(HOSTS_ROOM(n));
    if (own)
        *size = hosts_text(text, n, own);
    kfree(text);
    *out = own;
    return own ? 0 : -ENOMEM;
}

u64 hosts_size(struct host_inode *h)
{
    hostfd fd = host_open_inode(h, O_RDONLY, NULL);
    char *text = NULL;
    size_t size = 0;

    if (load(fd, &text, &size) == 0)
        kfree(text);
    if (hostfd_ok(fd))
        host_close(fd);
    return size;
}

static ssize_t alone_read(struct file *f, struct uio *io, u64 *pos)
{
    ssize_t r = *pos < sizeof(g_own) - 1
                    ? uio_to(io, g_own + *pos, MIN(io->left, sizeof(g_own) - 1 - (size_t)*pos))
                    : 0;

    if (r > 0)
        *pos += (u64)r;
    return r;
}

static i64 alone_seek(struct file *f, i64 off, int whence)
{
    return generic_seek(f, off, whence, sizeof(g_own) - 1);
}

/* The host opens nothing. */
static const struct file_ops g_alone_ops = {.read = alone_read, .seek = alone_seek};

int hosts_open(struct inode *i, struct file *f)
{
    int r = hostfs_open(i, f);

    if (r < 0 && (f->flags & O_ACCMODE) == O_RDONLY) {
        f->ops = &g_alone_ops;
        r = 0;
    }
    return r;
}

static int load_again(struct file *f, struct host_open *o)
{
    struct own_change own;
    int r;

    kfree(o->text);
    o->text = NULL;
    own_begin(&own, host_of(f->inode), IN_ACCESS);
    r = load(f->host_fd, &o->text, &o->text_size);
    own_end(&own);
    return r;
}

ssize_t hosts_read(struct file *f, struct uio *io, u64 *pos)
{
    struct host_open *o = f->private;
    ssize_t r;

    mutex_lock(&o->text_lock);
    r = *pos == 0 || !o->text ? load_again(f, o) : 0;
    if (r == 0 && *pos < o->text_size)
        r = uio_to(io, o->text + *pos, MIN(io->left, o->text_size - (size_t)*pos));
    mutex_unlock(&o->text_lock);
    if (r > 0)
        *pos += (u64)r;
    return r;
}

i64 hosts_seek(struct file *f, i64 off, int whence)
{
    if (whence == SEEK_DATA || whence == SEEK_HOLE)
        return -EINVAL;
    return generic_seek(f, off, whence, whence == SEEK_END ? hosts_size(host_of(f->inode)) : 0);
}
