#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the LibOS threads of a process with an emulated enclave wait: libos-stacks.py PID libos.elf

Reads the enclave's memory (an emulated enclave is not protected from anybody), walks the list of tcb pages and the frame pointers of
each thread that is inside an ocall, and names the functions. For hangs.
"""
import re
import struct
import subprocess
import sys

pid, elf = int(sys.argv[1]), sys.argv[2]
TCB_CURRENT, TCB_OCALL_RSP = 64, 128

symbols = {}
for line in subprocess.run(['nm', elf], check=True, capture_output=True, text=True).stdout.splitlines():
    f = line.split()
    if len(f) == 3:
        symbols[f[2]] = int(f[0], 16)

# tcb.next is the last field: its offset comes from the debug information of the image.
text = subprocess.run(['gdb', '-batch', '-ex', 'print (int)&((struct tcb *)0)->next', '-ex',
                       'print (int)&((struct thread *)0)->tid', '-ex', 'print (int)&((struct thread *)0)->attention', '-ex',
                       'print (int)&((struct thread *)0)->park', elf], check=True, capture_output=True, text=True).stdout
next_off, tid_off, attention_off, park_off = (int(v) for v in re.findall(r'\$\d+ = (\d+)', text))

memory = open(f'/proc/{pid}/mem', 'rb')


def u64(address):
    memory.seek(address)
    return struct.unpack('<Q', memory.read(8))[0]


def u32(address):
    memory.seek(address)
    return struct.unpack('<I', memory.read(4))[0]


# The LibOS image is below the last 64 GiB of ELRANGE, or its last quarter (abi/layout.h); ELRANGE is any power of two.
base = None
for shift in range(30, 48):
    candidate = (1 << shift) - min((1 << shift) // 4, 64 << 30)
    try:
        memory.seek(candidate)
        if memory.read(4) == b'\x7fELF':
            base = candidate
            break
    except OSError:
        pass
if base is None:
    sys.exit('no LibOS found in that process')

addresses, stacks = [], []
tcb = u64(base + symbols['g_tcbs'])
while tcb:
    thread, rsp = u64(tcb + TCB_CURRENT), u64(tcb + TCB_OCALL_RSP)
    if thread:
        frames = []
        if rsp:
            frames.append(u64(rsp + 48) - base)
            rbp = u64(rsp + 40)
            while base < rbp < base + (64 << 30) and len(frames) < 24:
                frames.append(u64(rbp + 8) - base)
                rbp = u64(rbp) if u64(rbp) > rbp else 0
        stacks.append((u32(thread + tid_off), u32(thread + attention_off), u32(thread + park_off), frames))
    tcb = u64(tcb + next_off)

for tid, attention, park, frames in stacks:
    print(f'thread {tid} attention {attention:x} park {park:x}' + ('' if frames else ': not in an ocall'))
    if frames:
        frames = [a for a in frames if a > 0]  # the last one may be no return address
        out = subprocess.run(['addr2line', '-fse', elf] + [hex(a - 1) for a in frames], check=True, capture_output=True,
                             text=True).stdout.splitlines()
        for name, place in zip(out[::2], out[1::2]):
            print(f'    {name} {place}')
