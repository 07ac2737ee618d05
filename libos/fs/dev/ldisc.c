/* SPDX-License-Identifier: Apache-2.0 */
#include "ldisc.h"

#define CTRL(c)  ((c)&0x1f)
#define MARK_END 1u
#define MARK_EOF 2u
#define SIG_INT  2
#define SIG_QUIT 3
#define SIG_TSTP 20
#define DISABLED 0 /* _POSIX_VDISABLE */

int ldisc_init(struct ldisc *l)
{
    *l = (struct ldisc){
        .termios =
            {
                .c_iflag = ICRNL | IXON,
                .c_oflag = OPOST | ONLCR,
                .c_cflag = B38400 | CS8 | CREAD,
                .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            },
    };
    memcpy(l->termios.c_cc,
           (const u8[]){[VINTR] = CTRL('C'),
                        [VQUIT] = CTRL('\\'),
                        [VERASE] = 0x7f,
                        [VKILL] = CTRL('U'),
                        [VEOF] = CTRL('D'),
                        [VMIN] = 1,
                        [VSTART] = CTRL('Q'),
                        [VSTOP] = CTRL('S'),
                        [VSUSP] = CTRL('Z'),
                        [VREPRINT] = CTRL('R'),
                        [VDISCARD] = CTRL('O'),
                        [VWERASE] = CTRL('W'),
                        [VLNEXT] = CTRL('V'),
                        [NCCS - 1] = 0},
           NCCS);
    l->in = kmalloc(LDISC_SIZE);
    l->marks = kzalloc(LDISC_SIZE);
    l->out = kmalloc(LDISC_SIZE);
    return l->in && l->marks && l->out ? 0 : -ENOMEM;
}

void ldisc_free(struct ldisc *l)
{
    kfree(l->in);
    kfree(l->marks);
    kfree(l->out);
}

static bool is_cc(const struct ldisc *l, int index, u8 c)
{
    return l->termios.c_cc[index] != DISABLED && l->termios.c_cc[index] == c;
}

static u32 in_total(const struct ldisc *l)
{
    return l->in_ready + l->in_edit;
}

static u32 in_slot(const struct ldisc *l, u32 k)
{
    return (l->in_head + k) % LDISC_SIZE;
}

/* ---- output ---- */

static bool out_byte(struct ldisc *l, u8 c)
{
    if (l->out_used == LDISC_SIZE)
        return false;
    l->out[(l->out_head + l->out_used++) % LDISC_SIZE] = c;
    return true;
}

/* One byte with output processing; false when it does not fit as a whole. */
static bool out_processed(struct ldisc *l, u8 c)
{
    u32 o = l->termios.c_oflag, room = LDISC_SIZE - l->out_used;

    if (!(o & OPOST))
        return out_byte(l, c);
    switch (c) {
    case '\n':
        if (o & ONLRET)
            l->column = 0;
        if (o & ONLCR) {
            if (room < 2)
                return false;
            out_byte(l, '\r');
            l->column = 0;
        }
        return out_byte(l, c);
    case '\r':
        if ((o & ONOCR) && l->column == 0)
            return true;
        if (o & OCRNL) {
            if (o & ONLRET)
                l->column = 0;
            return out_byte(l, '\n');
        }
        l->column = 0;
        return out_byte(l, c);
    case '\t': {
        u32 spaces = 8 - (l->column & 7);

        if ((o & TABDLY) == XTABS) {
            if (room < spaces)
                return false;
            l->column += spaces;
            while (spaces--)
                out_byte(l, ' ');
            return true;
        }
        l->column += spaces;
        return out_byte(l, c);
    }
    case '\b':
        if (l->column)
            l->column--;
        return out_byte(l, c);
    default:
        if ((o & OLCUC) && c >= 'a' && c <= 'z')
            c = (u8)(c - 32);
        if (!out_byte(l, c))
            return false;
        if (c >= 0x20 && c != 0x7f && (c & 0xc0) != 0x80)
            l->column++;
        return true;
    }
}

ssize_t ldisc_write(struct ldisc *l, struct uio *io)
{
    ssize_t done = 0;

    if (l->stopped)
        return -EAGAIN;
    while (io->left && LDISC_SIZE - l->out_used >= 8) { /* 8: room for any one byte's expansion */
        u8 buf[128];
        ssize_t n = uio_from(
            io, buf, MIN(MIN(io->left, sizeof(buf)), (size_t)(LDISC_SIZE - l->out_used) / 8));

        if (n <= 0)
            return done ? done : n;
        for (ssize_t k = 0; k < n; k++)
            out_processed(l, buf[k]);
        done += n;
    }
    return done ? done : -EAGAIN;
}

bool ldisc_output_room(const struct ldisc *l)
{
    return !l->stopped && LDISC_SIZE - l->out_used >= 8;
}

bool ldisc_output_ready(const struct ldisc *l)
{
    return l->out_used > 0;
}

u32 ldisc_output_size(const struct ldisc *l)
{
    return l->out_used;
}

ssize_t ldisc_output_read(struct ldisc *l, struct uio *io)
{
    ssize_t done = 0;

    if (!l->out_used)
        return -EAGAIN;
    while (io->left && l->out_used) {
        u32 part = (u32)MIN(MIN((size_t)l->out_used, io->left), (size_t)(LDISC_SIZE - l->out_head));
        ssize_t n = uio_to(io, l->out + l->out_head, part);

        if (n <= 0)
            return done ? done : n;
        l->out_head = (l->out_head + (u32)n) % LDISC_SIZE;
        l->out_used -= (u32)n;
        done += n;
    }
    return done;
}

void ldisc_flush_output(struct ldisc *l)
{
    l->out_used = l->out_head = 0;
}

/* ---- echo ---- */

static void echo(struct ldisc *l, u8 c)
{
    u32 flags = l->termios.c_lflag;

    if (!(flags & ECHO) && !((flags & ECHONL) && c == '\n'))
        return;
    if ((flags & ECHOCTL) && (c < 0x20 || c == 0x7f) && c != '\n' && c != '\t') {
        out_byte(l, '^');
        out_byte(l, c ^ 0x40);
        l->column += 2;
        return;
    }
    out_processed(l, c);
}

/* Columns that byte c took on the screen (tabs: computed by the caller). */
static u32 echo_width(const struct ldisc *l, u8 c)
{
    if (c < 0x20 || c == 0x7f)
        return l->termios.c_lflag & ECHOCTL ? 2 : 0;
    return (c & 0xc0) == 0x80 && (l->termios.c_iflag & IUTF8) ? 0 : 1;
}

static void rub_out(struct ldisc *l, u32 columns)
{
    while (columns--) {
        out_byte(l, '\b');
        out_byte(l, ' ');
        out_byte(l, '\b');
        if (l->column)
            l->column--;
    }
}

static u32 column_at_end(const struct ldisc *l)
{
    u32 column = l->edit_column;

    for (u32 k = l->in_ready; k < in_total(l); k++) {
        u8 c = l->in[in_slot(l, k)];

        column = c == '\t' ? (column | 7) + 1 : column + echo_width(l, c);
    }
    return column;
}

static void drop_last(struct ldisc *l)
{
    u32 before = column_at_end(l), columns;
    bool tab = l->in[in_slot(l, in_total(l) - 1)] == '\t';

    l->in_edit--;
    if ((l->termios.c_lflag & (ECHO | ECHOE)) != (ECHO | ECHOE))
        return;
    columns = before - column_at_end(l);
    if (!tab)
        rub_out(l, columns);
    for (; tab && columns; columns--) /* nothing is to be seen there */
        out_processed(l, '\b');
}

static u8 last_byte(const struct ldisc *l)
{
    return l->in[in_slot(l, in_total(l) - 1)];
}

static bool is_word(u8 c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c >= 0x80;
}

static void erase(struct ldisc *l, u8 c)
{
    u32 flags = l->termios.c_lflag;

    if (!l->in_edit)
        return;
    if (is_cc(l, VERASE, c)) {
        while ((l->termios.c_iflag & IUTF8) && l->in_edit > 1 && (last_byte(l) & 0xc0) == 0x80)
            l->in_edit--;
        drop_last(l);
        if ((flags & ECHO) && !(flags & ECHOE))
            echo(l, c);
    } else if (is_cc(l, VWERASE, c)) {
        while (l->in_edit && !is_word(last_byte(l)))
            drop_last(l);
        while (l->in_edit && is_word(last_byte(l)))
            drop_last(l);
    } else { /* VKILL */
        if ((flags & ECHO) && (flags & ECHOKE) && (flags & ECHOE)) {
            while (l->in_edit)
                drop_last(l);
        } else {
            l->in_edit = 0;
            echo(l, c);
            if ((flags & ECHOK) && (flags & ECHO))
                out_processed(l, '\n');
        }
    }
}

static void reprint(struct ldisc *l, u8 c)
{
    echo(l, c);
    out_processed(l, '\n');
    l->edit_column = l->column;
    for (u32 k = l->in_ready; k < in_total(l); k++)
        echo(l, l->in[in_slot(l, k)]);
}

/* ---- input ---- */

static bool store(struct ldisc *l, u8 c, u8 mark)
{
    u32 slot;

    if (in_total(l) == LDISC_SIZE)
        return false;
    if (l->in_edit == 0)
        l->edit_column = l->column;
    slot = in_slot(l, in_total(l));
    l->in[slot] = c;
    l->marks[slot] = mark;
    l->in_edit++;
    if (mark || !(l->termios.c_lflag & ICANON)) {
        l->in_ready += l->in_edit;
        l->in_edit = 0;
    }
    return true;
}

static bool signal_char(struct ldisc *l, u8 c, u32 *signals)
{
    int sig = is_cc(l, VINTR, c)   ? SIG_INT
              : is_cc(l, VQUIT, c) ? SIG_QUIT
              : is_cc(l, VSUSP, c) ? SIG_TSTP
                                   : 0;

    if (!sig || !(l->termios.c_lflag & ISIG))
        return false;
    if (!(l->termios.c_lflag & NOFLSH)) {
        ldisc_flush_input(l);
        l->out_used = MIN(
            l->out_used,
            l->out_mark); /* the echo of this very input; what was written before stays */
    }
    l->stopped = false;
    echo(l, c);
    *signals |= 1u << (sig - 1);
    return true;
}

/* Canonical mode: editing and line ends. false: no room. */
static bool input_canonical(struct ldisc *l, u8 c)
{
    bool extended = (l->termios.c_lflag & IEXTEN) != 0;

    if (is_cc(l, VERASE, c) || is_cc(l, VKILL, c) || (extended && is_cc(l, VWERASE, c))) {
        erase(l, c);
        return true;
    }
    if (extended && is_cc(l, VLNEXT, c)) {
        l->literal = true;
        if ((l->termios.c_lflag & (ECHO | ECHOCTL)) == (ECHO | ECHOCTL)) {
            out_byte(l, '^');
            out_byte(l, '\b');
        }
        return true;
    }
    if (extended && is_cc(l, VREPRINT, c) && (l->termios.c_lflag & ECHO)) {
        reprint(l, c);
        return true;
    }
    if (is_cc(l, VEOF, c))
        return store(l, 0, MARK_END | MARK_EOF);
    if (c == '\n' || is_cc(l, VEOL, c) || (extended && is_cc(l, VEOL2, c))) {
        if (!store(l, c, MARK_END))
            return false;
        echo(l, c);
        return true;
    }
    if (in_total(l) >=
        LDISC_SIZE - 1) { /* keep room for the line's end; the rest is lost, with a bell */
        if (l->termios.c_iflag & IMAXBEL)
            out_byte(l, '\a');
        return l->in_ready == 0;
    }
    /* The column where the line starts is known before its first byte is echoed. */
    store(l, c, 0);
    echo(l, c);
    return true;
}

static bool input_byte(struct ldisc *l, u8 c, u32 *signals)
{
    u32 i = l->termios.c_iflag;

    if (i & ISTRIP)
        c &= 0x7f;
    if (l->literal) {
        l->literal = false;
        if (!store(l, c, 0))
            return false;
        echo(l, c);
        return true;
    }
    if (c == '\r') {
        if (i & IGNCR)
            return true;
        if (i & ICRNL)
            c = '\n';
    } else if (c == '\n' && (i & INLCR)) {
        c = '\r';
    }
    if ((i & IUCLC) && (l->termios.c_lflag & IEXTEN) && c >= 'A' && c <= 'Z')
        c = (u8)(c + 32);
    if (i & IXON) {
        if (is_cc(l, VSTOP, c)) {
            l->stopped = true;
            return true;
        }
        if (is_cc(l, VSTART, c)) {
            l->stopped = false;
            return true;
        }
        if (i & IXANY)
            l->stopped = false;
    }
    if (signal_char(l, c, signals))
        return true;
    if (l->termios.c_lflag & ICANON)
        return input_canonical(l, c);
    if (!store(l, c, 0))
        return false;
    echo(l, c);
    return true;
}

size_t ldisc_input(struct ldisc *l, const u8 *data, size_t n, u32 *signals)
{
    l->out_mark = l->out_used;
    for (size_t k = 0; k < n; k++)
        if (!input_byte(l, data[k], signals))
            return k;
    return n;
}

bool ldisc_input_room(const struct ldisc *l)
{
    return in_total(l) < LDISC_SIZE - 1;
}

bool ldisc_readable(const struct ldisc *l)
{
    if (l->termios.c_lflag & ICANON)
        return l->in_ready > 0;
    return l->in_ready >= MAX(l->termios.c_cc[VTIME] ? 1u : (u32)l->termios.c_cc[VMIN], 1u) ||
           l->in_ready == LDISC_SIZE;
}

u32 ldisc_input_size(const struct ldisc *l)
{
    return l->in_ready;
}

/* Take up to n bytes of what is ready; *eof: stopped at an end-of-file mark, which is taken too. */
static u32 take(struct ldisc *l, u8 *buf, u32 n, bool *line_end, bool *eof)
{
    bool canonical = (l->termios.c_lflag & ICANON) != 0;
    u32 k = 0;

    *line_end = *eof = false;
    while (k < n && l->in_ready) {
        u8 mark = l->marks[l->in_head];
        u8 c = l->in[l->in_head];

        l->in_head = (l->in_head + 1) % LDISC_SIZE;
        l->in_ready--;
        if (mark & MARK_EOF) {
            if (canonical) {
                *eof = *line_end = true;
                break;
            }
            c = l->termios.c_cc[VEOF];
        }
        buf[k++] = c;
        if (canonical && (mark & MARK_END)) {
            *line_end = true;
            break;
        }
    }
    /* A reader that got exactly the bytes before the mark does not see it as a line of its own. */
    if (canonical && k && k == n && !*line_end && l->in_ready &&
        (l->marks[l->in_head] & MARK_EOF)) {
        l->in_head = (l->in_head + 1) % LDISC_SIZE;
        l->in_ready--;
        *line_end = true;
    }
    return k;
}

ssize_t ldisc_read(struct ldisc *l, struct uio *io)
{
    ssize_t done = 0;
    bool line_end = false, eof = false;

    if (!l->in_ready)
        return -EAGAIN;
    while (io->left && l->in_ready && !line_end) {
        u8 buf[256];
        u32 n = take(l, buf, (u32)MIN(io->left, sizeof(buf)), &line_end, &eof);
        ssize_t r = n ? uio_to(io, buf, n) : 0;

        if (r < 0)
            return done ? done : r;
        done += r;
    }
    return done;
}

void ldisc_flush_input(struct ldisc *l)
{
    l->in_head = l->in_ready = l->in_edit = 0;
}

void ldisc_set_termios(struct ldisc *l, const struct termios *t)
{
    bool was = (l->termios.c_lflag & ICANON) != 0;

    l->termios = *t;
    /* Leaving canonical mode: what was being edited can be read now. */
    if (was && !(t->c_lflag & ICANON)) {
        l->in_ready += l->in_edit;
        l->in_edit = 0;
    }
    if (!(t->c_iflag & IXON))
        l->stopped = false;
}
