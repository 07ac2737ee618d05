#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which names the rooms of libos/ take from a higher floor: libos-floors.py BUILD   (docs/design/floors.md). Exit 1 when there is one.

The order of the floors is that of libos/meson.build; the names are the symbols of the object files in BUILD.
"""
import collections
import glob
import os
import re
import subprocess
import sys

# entry.S, the door, jumps to these handlers.
DOOR = {'aex_touch', 'ecall_main', 'exception_stage1', 'fault_user', 'kernel_fault', 'panic_fault', 'return_prepare', 'syscall_dispatch',
        'touch_fault'}

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(top, 'libos/meson.build'), encoding='utf-8') as f:
    rank = {room: i for i, room in enumerate(re.findall(r"^subdir\('(\w+)'\)", f.read(), re.MULTILINE))}

room, defined, needed = {}, {}, {}
for o in glob.glob(os.path.join(sys.argv[1], 'libos/liblibos_*.a.p/*.o')):
    room[o] = re.search(r'liblibos_(\w+)\.a\.p', o)[1]
    if room[o] not in rank:
        continue
    needed[o] = set()
    for line in subprocess.run(['nm', o], check=True, capture_output=True, text=True).stdout.splitlines():
        kind, name = line.split()[-2:]
        if kind in 'Uw':
            needed[o].add(name)
        elif kind in 'TDBRVWC':
            defined[name] = o
if len(set(room.values())) < len(rank) - 1:
    sys.exit(f'{sys.argv[1]} has not all rooms of libos/: build it first')

upward = collections.defaultdict(lambda: collections.defaultdict(set))
for o, names in needed.items():
    for name in names - (DOOR if o.endswith('/host_entry.S.o') else set()):
        if name in defined and rank[room[defined[name]]] > rank[room[o]]:
            upward[room[o], room[defined[name]]][name].add(os.path.basename(o)[:-2])

for pair in sorted(upward, key=lambda p: (rank[p[0]], rank[p[1]])):
    print(f'{pair[0]} -> {pair[1]}:', '; '.join(f'{name} ({", ".join(sorted(files))})' for name, files in sorted(upward[pair].items())))
print(len({name for names in upward.values() for name in names}), 'names point up')
sys.exit(1 if upward else 0)
