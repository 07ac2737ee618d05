/* SPDX-License-Identifier: Apache-2.0 */
/* A red-black tree, intrusive, keyed by a u64 that is unique in the tree. */
#include "lib.h"

static void replace_child(struct rb_root *root, struct rb_node *old, struct rb_node *new)
{
    if (old->parent == NULL)
        root->node = new;
    else if (old->parent->left == old)
        old->parent->left = new;
    else
        old->parent->right = new;
    if (new != NULL)
        new->parent = old->parent;
}

static void rotate_left(struct rb_root *root, struct rb_node *n)
{
    struct rb_node *r = n->right;

    replace_child(root, n, r);
    n->right = r->left;
    if (r->left != NULL)
        r->left->parent = n;
    r->left = n;
    n->parent = r;
}

static void rotate_right(struct rb_root *root, struct rb_node *n)
{
    struct rb_node *l = n->left;

    replace_child(root, n, l);
    n->left = l->right;
    if (l->right != NULL)
        l->right->parent = n;
    l->right = n;
    n->parent = l;
}

static bool is_red(const struct rb_node *n)
{
    return n != NULL && n->red;
}

static void fix_insert(struct rb_root *root, struct rb_node *n)
{
    while (is_red(n->parent)) {
        struct rb_node *p = n->parent, *g = p->parent;
        bool left = p == g->left;
        struct rb_node *uncle = left ? g->right : g->left;

        if (is_red(uncle)) {
            p->red = uncle->red = false;
            g->red = true;
            n = g;
            continue;
        }
        if (n == (left ? p->right : p->left)) {
            n = p;
            left ? rotate_left(root, n) : rotate_right(root, n);
            p = n->parent;
        }
        p->red = false;
        g->red = true;
        left ? rotate_right(root, g) : rotate_left(root, g);
    }
    root->node->red = false;
}

int rb_insert(struct rb_root *root, struct rb_node *n)
{
    struct rb_node **link = &root->node, *parent = NULL;

    while (*link != NULL) {
        parent = *link;
        if (n->key == parent->key)
            return -EEXIST;
        link = n->key < parent->key ? &parent->left : &parent->right;
    }
    n->parent = parent;
    n->left = n->right = NULL;
    n->red = true;
    *link = n;
    fix_insert(root, n);
    return 0;
}

/* n (may be NULL, below p) lacks one black on its paths. */
static void fix_erase(struct rb_root *root, struct rb_node *n, struct rb_node *p)
{
    while (n != root->node && !is_red(n)) {
        bool left = n == p->left;
        struct rb_node *s = left ? p->right : p->left;

        if (is_red(s)) {
            s->red = false;
            p->red = true;
            left ? rotate_left(root, p) : rotate_right(root, p);
            s = left ? p->right : p->left;
        }
        if (!is_red(s->left) && !is_red(s->right)) {
            s->red = true;
            n = p;
            p = n->parent;
            continue;
        }
        if (!is_red(left ? s->right : s->left)) {
            (left ? s->left : s->right)->red = false;
            s->red = true;
            left ? rotate_right(root, s) : rotate_left(root, s);
            s = left ? p->right : p->left;
        }
        s->red = p->red;
        p->red = false;
        (left ? s->right : s->left)->red = false;
        left ? rotate_left(root, p) : rotate_right(root, p);
        n = root->node;
    }
    if (n != NULL)
        n->red = false;
}

void rb_erase(struct rb_root *root, struct rb_node *n)
{
    struct rb_node *child, *parent;
    bool red = n->red;

    if (n->left == NULL || n->right == NULL) {
        child = n->left != NULL ? n->left : n->right;
        parent = n->parent;
        replace_child(root, n, child);
    } else {
        struct rb_node *s = n->right;

        while (s->left != NULL)
            s = s->left;
        red = s->red;
        child = s->right;
        if (s->parent == n) {
            parent = s;
        } else {
            parent = s->parent;
            replace_child(root, s, child);
            s->right = n->right;
            s->right->parent = s;
        }
        replace_child(root, n, s);
        s->left = n->left;
        s->left->parent = s;
        s->red = n->red;
    }
    if (!red && root->node != NULL)
        fix_erase(root, child, parent);
}

struct rb_node *rb_find(const struct rb_root *root, u64 key)
{
    struct rb_node *n = root->node;

    while (n != NULL && n->key != key)
        n = key < n->key ? n->left : n->right;
    return n;
}

struct rb_node *rb_find_le(const struct rb_root *root, u64 key)
{
    struct rb_node *n = root->node, *best = NULL;

    while (n != NULL) {
        if (n->key <= key) {
            best = n;
            n = n->right;
        } else {
            n = n->left;
        }
    }
    return best;
}

struct rb_node *rb_find_ge(const struct rb_root *root, u64 key)
{
    struct rb_node *n = root->node, *best = NULL;

    while (n != NULL) {
        if (n->key >= key) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

struct rb_node *rb_first(const struct rb_root *root)
{
    struct rb_node *n = root->node;

    while (n != NULL && n->left != NULL)
        n = n->left;
    return n;
}

struct rb_node *rb_next(const struct rb_node *n)
{
    if (n->right != NULL) {
        for (n = n->right; n->left != NULL;)
            n = n->left;
        return (struct rb_node *)n;
    }
    while (n->parent != NULL && n == n->parent->right)
        n = n->parent;
    return n->parent;
}
