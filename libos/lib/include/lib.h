/* SPDX-License-Identifier: Apache-2.0 */
/* libos/lib: strings, lists, trees, patterns. It needs no host and no other room; there is no
 * libc. */
#pragma once

#include "types.h"

void *memcpy(void *restrict d, const void *restrict s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
/* Zeros that the compiler keeps, whether or not somebody reads them: for keys. */
static inline void memzero_explicit(void *p, size_t n)
{
    memset(p, 0, n);
    __asm__ volatile("" : : "r"(p) : "memory");
}
void *memchr(const void *s, int c, size_t n);
bool memory_is_zero(const void *p, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
/* Copies at most size-1 bytes, always terminates; returns strlen(src) (so >= size means cut). */
size_t strlcpy(char *d, const char *s, size_t size);
int vsnprintf(char *buf, size_t size, const char *fmt,
              va_list ap); /* d i u x X o c s p %, l ll z, width, 0, -, .prec */
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/* ---- patterns of policies: `*`, `?`, `\` (libos/lib/pattern.c) ---- */
/* No NUL, no `\` at the end. */
bool pattern_valid(const char *p, size_t n);
bool pattern_is_exact(const char *p, size_t n); /* no wildcards: it matches one text */
bool path_goes_up(const char *s);               /* one of its names is ".." */
bool pattern_match(const char *p, size_t n, const char *text, size_t size);
/* True: whatever `inner` matches, `outer` matches too. False says nothing. */
bool pattern_within(const char *inner, size_t m, const char *outer, size_t n);

/* ---- doubly linked list, Linux shape ---- */
struct list_head {
    struct list_head *next, *prev;
};
#define LIST_HEAD_INIT(name) \
    {                        \
        &(name), &(name)     \
    }
static inline void list_init(struct list_head *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list_head *l)
{
    return l->next == l;
}
static inline void list_add(struct list_head *e, struct list_head *head)
{
    e->next = head->next;
    e->prev = head;
    head->next->prev = e;
    head->next = e;
}
static inline void list_add_tail(struct list_head *e, struct list_head *head)
{
    list_add(e, head->prev);
}
static inline void list_del(struct list_head *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    list_init(e);
}
#define list_entry(p, type, member)          container_of(p, type, member)
#define list_first_entry(head, type, member) list_entry((head)->next, type, member)
#define list_for_each_entry(pos, head, member)                                         \
    for (pos = list_entry((head)->next, typeof(*pos), member); &pos->member != (head); \
         pos = list_entry(pos->member.next, typeof(*pos), member))
#define list_for_each_entry_safe(pos, n, head, member)          \
    for (pos = list_entry((head)->next, typeof(*pos), member),  \
        n = list_entry(pos->member.next, typeof(*pos), member); \
         &pos->member != (head); pos = n, n = list_entry(n->member.next, typeof(*n), member))

/* ---- red-black tree: an intrusive ordered map keyed by a u64 (libos/lib/rbtree.c) ---- */
struct rb_node {
    struct rb_node *parent, *left, *right;
    u64 key;
    bool red;
};
struct rb_root {
    struct rb_node *node;
};
int rb_insert(struct rb_root *root, struct rb_node *n); /* -EEXIST */
void rb_erase(struct rb_root *root, struct rb_node *n);
struct rb_node *rb_find(const struct rb_root *root, u64 key);
struct rb_node *rb_find_le(const struct rb_root *root, u64 key); /* greatest <= key */
struct rb_node *rb_find_ge(const struct rb_root *root, u64 key); /* least >= key */
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_first(const struct rb_root *root);

/* ---- reference count ---- */
struct refcount {
    u32 n;
};
static inline void ref_init(struct refcount *r)
{
    __atomic_store_n(&r->n, 1, __ATOMIC_RELAXED);
}
static inline void ref_get(struct refcount *r)
{
    __atomic_add_fetch(&r->n, 1, __ATOMIC_RELAXED);
}
/* For what was found in a table that holds no reference: false when the last reference is gone
 * already. */
static inline bool ref_get_live(struct refcount *r)
{
    u32 n = __atomic_load_n(&r->n, __ATOMIC_RELAXED);

    while (n != 0) {
        if (__atomic_compare_exchange_n(&r->n, &n, n + 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}
/* True when this was the last one. */
static inline bool ref_put(struct refcount *r)
{
    return __atomic_sub_fetch(&r->n, 1, __ATOMIC_ACQ_REL) == 0;
}
