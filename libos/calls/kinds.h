/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of parameters: KIND(name, type, show). The type is Linux's for the parameter, so the
 * decoder drops the bits of the register that Linux drops and extends the sign as it does; show is
 * how the trace prints it (libos/entry/trace.c). SET: by the names of the set in
 * libos/entry/sets.c that has the kind's name.
 */
/* numbers */
KIND(int, int, DECIMAL)
KIND(uint, u32, UNSIGNED)
KIND(long, long, DECIMAL)
KIND(ulong, u64, UNSIGNED)
KIND(size, u64, UNSIGNED)
KIND(offset, i64, DECIMAL)
KIND(hex32, u32, HEX)
KIND(rwf, int, HEX)
KIND(hex, u64, HEX)
KIND(mode, u32, OCTAL)
KIND(dev, u32, HEX)
KIND(id, u32, ID) /* a user's or a group's: (uid_t)-1 is "leave it" */
KIND(pid, int, DECIMAL)
KIND(fd, int, DECIMAL)
KIND(at_fd, int, AT_FD)
KIND(address, u64, ADDRESS) /* of memory as an object: mmap, brk; nobody looks behind it */
/* user memory: the third word of the parameter is what stands there */
KIND(in, uaddr, ADDRESS)
KIND(out, uaddr, ADDRESS)
KIND(inout, uaddr, ADDRESS)
KIND(path, uaddr, TEXT)
KIND(text, uaddr, TEXT)
KIND(sockaddr, uaddr, SOCKADDR) /* its size is the next parameter */
/* sets of flags and of names */
KIND(open_flags, int, SET)
KIND(fd_flags, int, SET) /* CLOEXEC and NONBLOCK of new descriptors */
KIND(at_flags, int, SET)
KIND(access_mode, int, SET)
KIND(whence, u32, SET)
KIND(prot, u64, SET)
KIND(map_flags, u64, SET)
KIND(clone_flags, u64, SET)
KIND(signal, int, SET)
KIND(domain, int, SET)
KIND(socket_type, int, SET)
KIND(message_flags, u32, SET)
KIND(epoll_op, int, SET)
KIND(futex_op, int, SET)
KIND(wait_options, int, SET)
KIND(clock, int, SET)
KIND(fcntl_command, u32, SET)
KIND(shutdown_how, int, SET)
