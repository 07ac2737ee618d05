/* SPDX-License-Identifier: Apache-2.0 */
/* CALL(name, status, note, parameters...): see libos/calls/syscall.h. */
CALL(mmap, PARTIAL,
     "MAP_SHARED of a writable file is at one address for all processes; no huge pages",
     (address, at), (size, size), (prot, prot), (map_flags, flags), (fd, fd), (hex, offset))
CALL(munmap, DONE, "", (address, at), (size, size))
CALL(mprotect, DONE, "", (address, at), (size, size), (prot, prot))
CALL(mremap, PARTIAL, "shared file mappings do not grow; no MREMAP_DONTUNMAP", (address, at),
     (size, old_size), (size, new_size), (ulong, flags), (address, to))
CALL(brk, DONE, "", (address, end))
CALL(msync, DONE, "", (address, at), (size, size), (int, flags))
CALL(madvise, PARTIAL, "hints of paging, huge pages, merging and dumps have no effect",
     (address, at), (size, size), (int, advice))
CALL(mincore, DONE, "", (address, at), (size, size), (out, pages, "unsigned char"))
CALL(mlock, DONE, "counted and limited; enclave memory is never paged by the LibOS", (address, at),
     (size, size))
CALL(mlock2, DONE, "", (address, at), (size, size), (int, flags))
CALL(munlock, DONE, "", (address, at), (size, size))
CALL(mlockall, DONE, "", (int, flags))
CALL(munlockall, DONE, "")
CALL(process_vm_readv, DONE, "", (pid, pid), (in, local, "struct iovec"), (ulong, local_count),
     (in, remote, "struct iovec"), (ulong, remote_count), (ulong, flags))
CALL(process_vm_writev, DONE, "", (pid, pid), (in, local, "struct iovec"), (ulong, local_count),
     (in, remote, "struct iovec"), (ulong, remote_count), (ulong, flags))
CALL(mseal, DONE, "", (address, at), (size, size), (hex, flags))
CALL(mbind, PARTIAL, "remembered: there is one node", (address, at), (ulong, size), (ulong, mode),
     (in, nodes, "unsigned long"), (ulong, node_count), (uint, flags))
CALL(set_mempolicy, PARTIAL, "remembered: there is one node", (int, mode),
     (in, nodes, "unsigned long"), (ulong, node_count))
CALL(get_mempolicy, DONE, "", (out, mode, "int"), (out, nodes, "unsigned long"),
     (ulong, node_count), (address, at), (hex, flags))
CALL(migrate_pages, DONE, "checked; one node has nowhere to move them", (pid, pid),
     (ulong, node_count), (in, from, "unsigned long"), (in, to, "unsigned long"))
