/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net: the sockets as Linux writes them (tcp4_seq_show, udp4_seq_show); the rest is fixed. */
#include "procfs.h"

#define INET   2 /* AF_INET, AF_INET6, SOCK_STREAM, SOCK_DGRAM */
#define INET6  10
#define STREAM 1
#define DGRAM  2

struct table {
    struct text *t;
    int domain, type;
    u32 lines;
};

static void put_name(struct table *table, const u8 *addr, u16 port)
{
    for (int i = 0; i < (table->domain == INET ? 1 : 4); i++) {
        u32 word;

        memcpy(&word, addr + 4 * i, sizeof(word));
        text_printf(table->t, "%08X", word);
    }
    text_printf(table->t, ":%04X ", port);
}

static void put_line(void *ctx, const struct socket_line *l)
{
    struct table *table = ctx;

    text_printf(table->t, table->type == STREAM ? "%4u: " : "%5u: ", table->lines++);
    put_name(table, l->local, l->local_port);
    put_name(table, l->remote, l->remote_port);
    text_printf(table->t, "%02X %08X:%08X 00:00000000 00000000 %5u %8d %lu 2 0000000000000000",
                l->state, 0, l->received, l->uid, 0, l->inode);
    if (table->type == STREAM)
        text_printf(table->t, " 100 0 0 10 0\n");
    else
        text_printf(table->t, " %lu\n", l->dropped);
}

static int show(struct text *t, int domain, int type)
{
    static const char rest[] = "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    struct table table = {.t = t, .domain = domain, .type = type};

    if (domain == INET)
        text_printf(t, "%s  sl  local_address rem_address   %s%s\n", type == STREAM ? "" : " ",
                    rest, type == STREAM ? "" : " ref pointer drops");
    else
        text_printf(t, "  sl  %-38s %-38s %s%s\n", "local_address", "remote_address", rest,
                    type == STREAM ? "" : " ref pointer drops");
    g_proc_sources->sockets(domain, type, put_line, &table);
    return 0;
}

static int show_tcp(struct pseudo_inode *p, struct text *t)
{
    return show(t, INET, STREAM);
}

static int show_tcp6(struct pseudo_inode *p, struct text *t)
{
    return show(t, INET6, STREAM);
}

static int show_udp(struct pseudo_inode *p, struct text *t)
{
    return show(t, INET, DGRAM);
}

static int show_udp6(struct pseudo_inode *p, struct text *t)
{
    return show(t, INET6, DGRAM);
}

static void count_line(void *ctx, const struct socket_line *l)
{
    ++*(u32 *)ctx;
}

static u32 count(int domain, int type)
{
    u32 n = 0;

    g_proc_sources->sockets(domain, type, count_line, &n);
    return n;
}

static int show_sockstat(struct pseudo_inode *p, struct text *t)
{
    u32 tcp = count(INET, STREAM), udp = count(INET, DGRAM);

    text_printf(t,
                "sockets: used %u\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\nUDP: inuse %u mem "
                "0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
                tcp + udp + count(INET6, STREAM) + count(INET6, DGRAM), tcp, tcp, udp);
    return 0;
}

static int show_sockstat6(struct pseudo_inode *p, struct text *t)
{
    text_printf(t,
                "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 "
                "memory 0\n",
                count(INET6, STREAM), count(INET6, DGRAM));
    return 0;
}

/* What the host's network did is not counted here: zeros, in Linux's form. */
const struct pseudo_entry g_proc_net_entries[] = {
    PSEUDO_TEXT("arp",
                "IP address       HW type     Flags       HW address            Mask     Device"),
    PSEUDO_TEXT(
        "route",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
        "                                                       "),
    PSEUDO_TEXT("snmp",
                "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams "
                "InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes "
                "ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n"
                "Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
                "Icmp: InMsgs InErrors InCsumErrors OutMsgs OutErrors\nIcmp: 0 0 0 0 0\n"
                "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails "
                "EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n"
                "Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n"
                "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors "
                "InCsumErrors IgnoredMulti MemErrors\nUdp: 0 0 0 0 0 0 0 0 0"),
    PSEUDO_TEXT("netstat", "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed ListenOverflows "
                           "ListenDrops TCPTimeouts\nTcpExt: 0 0 0 0 0 0\n"
                           "IpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 0 0"),
    PSEUDO_SHOW("sockstat", show_sockstat),
    PSEUDO_SHOW("sockstat6", show_sockstat6),
    PSEUDO_TEXT(
        "dev",
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets "
        "errs drop fifo colls carrier compressed\n"
        "    lo:       0       0    0    0    0     0          0         0        0       0   "
        " 0    0    0     0       0          0"),
    PSEUDO_TEXT("if_inet6", "00000000000000000000000000000001 01 80 10 80       lo"),
    PSEUDO_TEXT("unix", "Num       RefCount Protocol Flags    Type St Inode Path"),
    PSEUDO_SHOW("tcp", show_tcp),
    PSEUDO_SHOW("tcp6", show_tcp6),
    PSEUDO_SHOW("udp", show_udp),
    PSEUDO_SHOW("udp6", show_udp6),
    {0},
};
