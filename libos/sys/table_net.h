/* SPDX-License-Identifier: Apache-2.0 */
/* S(name, function, status, note): see libos/include/syscall.h. */
S(poll, sys_poll, DONE, "")
S(ppoll, sys_ppoll, DONE, "")
S(select, sys_select, DONE, "")
S(pselect6, sys_pselect6, DONE, "")
S(epoll_create, sys_epoll_create, DONE, "")
S(epoll_create1, sys_epoll_create1, DONE, "")
S(epoll_ctl, sys_epoll_ctl, DONE, "")
S(epoll_wait, sys_epoll_wait, DONE, "at most 64 events a call")
S(epoll_pwait, sys_epoll_pwait, DONE, "at most 64 events a call")
S(epoll_pwait2, sys_epoll_pwait2, DONE, "at most 64 events a call")
