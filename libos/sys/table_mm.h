/* SPDX-License-Identifier: Apache-2.0 */
/* S(name, function, status, note): see libos/include/syscall.h. */
S(mmap, sys_mmap, PARTIAL,
  "MAP_SHARED of a writable file is at one address for all processes; no huge pages")
S(munmap, sys_munmap, DONE, "")
S(mprotect, sys_mprotect, DONE, "")
S(mremap, sys_mremap, PARTIAL, "shared file mappings do not grow; no MREMAP_DONTUNMAP")
S(brk, sys_brk, DONE, "")
S(msync, sys_msync, DONE, "")
S(madvise, sys_madvise, PARTIAL,
  "DONTNEED and POPULATE act, hints have no effect, WIPEONFORK, DONTFORK and REMOVE are EINVAL")
S(mincore, sys_mincore, DONE, "")
S(mlock, sys_mlock, DONE, "nothing to lock: enclave memory is never paged by the LibOS")
S(mlock2, sys_mlock, DONE, "")
S(munlock, sys_mlock, DONE, "")
S(mlockall, sys_mlockall, DONE, "")
S(munlockall, sys_mlockall, DONE, "")
S(mbind, sys_memory_policy, PARTIAL, "accepted, no effect")
S(set_mempolicy, sys_memory_policy, PARTIAL, "accepted, no effect")
