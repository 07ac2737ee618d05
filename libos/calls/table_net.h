/* SPDX-License-Identifier: Apache-2.0 */
/* CALL(name, status, note, parameters...): see libos/calls/syscall.h. */
CALL(poll, DONE, "", (inout, fds, "struct pollfd"), (uint, count), (int, timeout))
CALL(ppoll, DONE, "", (inout, fds, "struct pollfd"), (uint, count),
     (inout, timeout, "struct timespec"), (in, mask, "sigset_t"), (size, mask_size))
CALL(select, DONE, "", (int, count), (inout, reads, "fd_set"), (inout, writes, "fd_set"),
     (inout, excepts, "fd_set"), (inout, timeout, "struct timeval"))
CALL(pselect6, DONE, "", (int, count), (inout, reads, "fd_set"), (inout, writes, "fd_set"),
     (inout, excepts, "fd_set"), (inout, timeout, "struct timespec"), (in, mask, "void"))
CALL(epoll_create, DONE, "", (int, size))
CALL(epoll_create1, DONE, "", (fd_flags, flags))
CALL(epoll_ctl, DONE, "", (fd, epoll), (epoll_op, operation), (fd, fd),
     (in, event, "struct epoll_event"))
CALL(epoll_wait, DONE, "at most 64 events a call", (fd, epoll), (out, events, "struct epoll_event"),
     (int, most), (int, timeout))
CALL(epoll_pwait, DONE, "at most 64 events a call", (fd, epoll),
     (out, events, "struct epoll_event"), (int, most), (int, timeout), (in, mask, "sigset_t"),
     (size, mask_size))
CALL(epoll_pwait2, DONE, "at most 64 events a call", (fd, epoll),
     (out, events, "struct epoll_event"), (int, most), (in, timeout, "struct timespec"),
     (in, mask, "sigset_t"), (size, mask_size))
CALL(socket, PARTIAL, "AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (routing, read only)",
     (domain, domain), (socket_type, type), (int, protocol))
CALL(socketpair, DONE, "", (domain, domain), (socket_type, type), (int, protocol),
     (out, fds, "int"))
CALL(bind, DONE, "", (fd, fd), (sockaddr, address), (int, size))
CALL(connect, DONE, "", (fd, fd), (sockaddr, address), (int, size))
CALL(listen, DONE, "", (fd, fd), (int, backlog))
CALL(accept, DONE, "", (fd, fd), (out, address, "struct sockaddr"), (inout, size, "int"))
CALL(accept4, DONE, "", (fd, fd), (out, address, "struct sockaddr"), (inout, size, "int"),
     (fd_flags, flags))
CALL(getsockname, DONE, "", (fd, fd), (out, address, "struct sockaddr"), (inout, size, "int"))
CALL(getpeername, DONE, "", (fd, fd), (out, address, "struct sockaddr"), (inout, size, "int"))
CALL(sendto, DONE, "", (fd, fd), (in, buf, "void"), (size, size), (message_flags, flags),
     (sockaddr, address), (int, address_size))
CALL(recvfrom, DONE, "", (fd, fd), (out, buf, "void"), (size, size), (message_flags, flags),
     (out, address, "struct sockaddr"), (inout, address_size, "int"))
CALL(sendmsg, PARTIAL, "control data of IP sockets: a safe list; no descriptors to the host",
     (fd, fd), (in, message, "struct msghdr"), (message_flags, flags))
CALL(recvmsg, PARTIAL, "control data of IP sockets: a safe list, not of TCP", (fd, fd),
     (inout, message, "struct msghdr"), (message_flags, flags))
CALL(sendmmsg, PARTIAL, "as sendmsg", (fd, fd), (inout, messages, "struct mmsghdr"), (uint, count),
     (message_flags, flags))
CALL(recvmmsg, PARTIAL, "as recvmsg", (fd, fd), (inout, messages, "struct mmsghdr"), (uint, count),
     (message_flags, flags), (in, timeout, "struct timespec"))
CALL(shutdown, DONE, "", (fd, fd), (shutdown_how, how))
CALL(getsockopt, PARTIAL, "a safe list for IP sockets", (fd, fd), (int, level), (int, name),
     (out, value, "void"), (inout, size, "int"))
CALL(setsockopt, PARTIAL, "a safe list for IP sockets", (fd, fd), (int, level), (int, name),
     (in, value, "void"), (int, size))
CALL(eventfd, DONE, "", (uint, count))
CALL(eventfd2, DONE, "", (uint, count), (fd_flags, flags))
CALL(timerfd_create, DONE, "", (clock, clock), (fd_flags, flags))
CALL(timerfd_settime, PARTIAL, "TFD_TIMER_CANCEL_ON_SET has no effect: the clock is never set",
     (fd, fd), (int, flags), (in, value, "struct itimerspec"), (out, old, "struct itimerspec"))
CALL(timerfd_gettime, DONE, "", (fd, fd), (out, value, "struct itimerspec"))
CALL(signalfd, DONE, "", (fd, fd), (in, mask, "sigset_t"), (size, mask_size))
CALL(signalfd4, DONE, "", (fd, fd), (in, mask, "sigset_t"), (size, mask_size), (fd_flags, flags))
CALL(inotify_init, DONE, "")
CALL(inotify_init1, DONE, "", (fd_flags, flags))
CALL(inotify_add_watch, DONE, "", (fd, fd), (path, path), (hex32, mask))
CALL(inotify_rm_watch, DONE, "", (fd, fd), (int, watch))
CALL(mq_open, DONE, "", (text, name), (open_flags, flags), (mode, mode),
     (in, attributes, "struct mq_attr"))
CALL(mq_unlink, DONE, "", (text, name))
CALL(mq_timedsend, DONE, "", (fd, queue), (in, message, "char"), (size, size), (uint, priority),
     (in, timeout, "struct timespec"))
CALL(mq_timedreceive, DONE, "", (fd, queue), (out, message, "char"), (size, size),
     (out, priority, "unsigned int"), (in, timeout, "struct timespec"))
CALL(mq_notify, DONE, "", (fd, queue), (in, event, "struct sigevent"))
CALL(mq_getsetattr, DONE, "", (fd, queue), (in, attributes, "struct mq_attr"),
     (out, old, "struct mq_attr"))
/* Linux AIO */
CALL(io_setup, DONE, "", (uint, count), (inout, context, "aio_context_t"))
CALL(io_destroy, DONE, "", (address, context))
CALL(io_submit, PARTIAL, "done at once; no IOCB_CMD_POLL", (address, context), (long, count),
     (in, requests, "struct iocb *"))
CALL(io_cancel, DONE, "", (address, context), (in, request, "struct iocb"),
     (out, event, "struct io_event"))
CALL(io_getevents, DONE, "", (address, context), (long, least), (long, most),
     (out, events, "struct io_event"), (in, timeout, "struct timespec"))
CALL(io_pgetevents, DONE, "", (address, context), (long, least), (long, most),
     (out, events, "struct io_event"), (in, timeout, "struct timespec"), (in, mask, "void"))
