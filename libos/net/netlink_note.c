/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that the LibOS itself puts into a netlink socket: mq_notify(2) with SIGEV_THREAD. They
 * stand before what the host has for the socket, and the host sees none of them.
 */
#include "net.h"
#include "socket.h"

#define NOTES_MAX 128u /* unread ones of a socket */

void netlink_notes_init(struct netlink_notes *n)
{
    n->lock = (struct mutex){0};
    list_init(&n->unread);
    waitq_init(&n->arrived);
    n->count = 0;
}

void netlink_notes_drop(struct netlink_notes *n)
{
    while (!list_empty(&n->unread)) {
        struct netlink_note *note = list_first_entry(&n->unread, struct netlink_note, link);

        list_del(&note->link);
        kfree(note);
    }
}

bool netlink_notes_wait(struct netlink_notes *n, struct poll_table *pt)
{
    poll_wait(pt, &n->arrived);
    return __atomic_load_n(&n->count, __ATOMIC_ACQUIRE) > 0;
}

ssize_t netlink_notes_take(struct netlink_notes *n, u8 *buf, size_t room, bool peek)
{
    struct netlink_note *note = NULL;
    ssize_t r = -EAGAIN;

    if (__atomic_load_n(&n->count, __ATOMIC_ACQUIRE) == 0)
        return r;
    mutex_lock(&n->lock);
    if (!list_empty(&n->unread)) {
        note = list_first_entry(&n->unread, struct netlink_note, link);
        r = (ssize_t)MIN(room, sizeof(note->data));
        memcpy(buf, note->data, (size_t)r);
        if (!peek) {
            list_del(&note->link);
            __atomic_sub_fetch(&n->count, 1, __ATOMIC_RELEASE);
        }
    }
    mutex_unlock(&n->lock);
    if (!peek)
        kfree(note);
    return r;
}

int netlink_note_socket(int fd, struct file **out)
{
    struct netlink_notes *notes;
    int r = socket_get(fd, out);

    if (r < 0)
        return r;
    notes = host_socket_notes((*out)->private);
    if (notes == NULL)
        r = -EINVAL;
    else if (__atomic_load_n(&notes->count, __ATOMIC_ACQUIRE) >= NOTES_MAX)
        r = -EAGAIN;
    if (r < 0)
        file_put(*out);
    return r;
}

void netlink_note_post(struct file *socket, struct netlink_note *note)
{
    struct netlink_notes *n = host_socket_notes(socket->private);

    mutex_lock(&n->lock);
    list_add_tail(&note->link, &n->unread);
    __atomic_add_fetch(&n->count, 1, __ATOMIC_RELEASE);
    mutex_unlock(&n->lock);
    waitq_wake(&n->arrived, UINT32_MAX);
}
