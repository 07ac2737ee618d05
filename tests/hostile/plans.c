/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of lies with a name, for random runs; what part of the host's power each is about. */
#include "tests/hostile/hostile.h"

const struct plan g_plans[] = {
    {"honest", ""},
    /* answers */
    {"wild", "* 1% wild; * 1% huge"},
    {"contract", "files 10% contract; sockets 10% contract; time 5% contract; * 1% errno"},
    {"data", "files 10% data; files 3% nul; sockets 10% data; * 1% data"},
    {"errno", "files 8% errno; sockets 8% errno; threads 10% errno; wakes 1% errno"},
    {"memory", "memory 4% errno; memory 4% claim; memory 6% late; memory 4% twice; memory 4% deny"},
    {"time", "time 50% contract; time 5% wild; WAIT 2% contract"},
    /* effects */
    {"effects", "files 8% deny; files 5% claim; files 8% twice; files 5% async; files 5% hold; "
                "files 5% elsewhere; sockets 8% deny; sockets 5% claim; sockets 8% twice; "
                "sockets 5% async; sockets 5% elsewhere"},
    {"threads", "THREAD_CREATE 25% deny=11; THREAD_CREATE 10% errno=11; THREAD_CREATE 25% late; "
                "THREAD_CREATE 10% twice; TCS_ADD 20% deny=12; TCS_ADD 20% late; "
                "TCS_ADD 20% twice; EVENT 20% late"},
    {"async-threads", "THREAD_CREATE 30% async; THREAD_CREATE 20% async=-11; "
                      "THREAD_CREATE 20% deny=11; stray ~2000 any"},
    {"wakes", "wakes 3% late; wakes 1% hold; WAKE 2% async; KICK 3% async; KICK 2% twice; "
              "WAKE 2% twice; WAIT 3% claim=0; YIELD 10% claim; wake ~300 any"},
    {"lost", "WAKE 0.5% claim; KICK 2% claim; WAIT 1% errno=110; WAIT 1% errno=4"},
    /* answers that know what they mean (crafted.c) */
    {"sizes", "STAT 40% size; READ 5% less"},
    {"tree", "STAT 10% size; STAT 4% inode; STAT 2% type; GETDENTS 40% names; READLINK 60% names; "
             "files 2% less; READ 2% errno=4; OPEN 1% in-use"},
    {"descriptors", "READ 2% other; WRITE 10% other; STAT 4% other; POLL 10% other; "
                    "RECV 10% other; SEND 10% other; OPEN 5% in-use; ACCEPT 20% in-use; "
                    "SOCKET 10% in-use; DUP 50% in-use; GETSOCKNAME 10% other"},
    {"storm", "files 60% less; sockets 30% less; READ 20% errno=4; WRITE 20% errno=4; "
              "RECV 20% errno=4; SEND 20% errno=4; ACCEPT 40% errno=4; WAIT 10% errno=4"},
    {"senders", "ACCEPT 60% sender; RECV 30% sender; RECV 30% control; GETSOCKNAME 60% sender"},
    {"readiness", "POLL 40% ready; WAIT 10% ready; EPOLL_WAIT 40% ready; EPOLL_CTL 5% claim=0"},
    {"back", "CLOCK 80% back; WAIT 2% claim=0; wake ~500 any"},
    /* what goes on by itself */
    {"race", "race ~20 any"},
    {"kick", "kick ~100 any; wake ~500 any"},
    {"stray", "stray ~300 any; kick ~1000 any"},
    {"entries", "return 1% wrong-tcs; resume 20% again; aex 10% again; stray ~2000 any"},
    {"pages", "pages ~1000 quiet; aex 5% again"},
    {"swap", "pages ~2000 swap; kick ~1000 any"},
    {"user", "pages ~500 user"},
    {"tell", "pages ~4000 tell"},
    {"step", "step ~3000 again; kick ~2000 any"},
    {"renew", "pages ~20000 renew"},
    /* old answers; who it is not; what is given changes; ecalls of other shapes; areas that go */
    {"replay", "files 3% replay; sockets 2% replay; time 3% replay; threads 1% replay; "
               "memory 1% replay"},
    {"localhost", "sockets 30% localhost; sockets 1% data"},
    {"given", "given ~100 any"},
    {"ecalls", "ecall 15% wild; ecall 10% again; stray ~500 any; return 2% quiet"},
    {"areas", "return 10% quiet; kick ~1000 any"},
    {"areas-told", "return 0.1% tell; return 5% quiet; kick ~1000 any"},
    {"sweep", "step ~2 sweep; kick ~10000 any"}, /* nothing without AEX-Notify */
    /* all at once */
    {"all", "* 0.3% any; race ~500 any; kick ~500 any; stray ~1500 any; return 0.3% wrong-tcs; "
            "resume 5% again; pages ~5000 quiet; THREAD_CREATE 20% deny=11"},
    {NULL, NULL},
};
