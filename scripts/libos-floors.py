#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which names the rooms of libos/ take from a higher floor: libos-floors.py BUILD   (docs/design/floors.md)

Reads the symbols of the object files in BUILD. Until the files have moved, libos-floors.txt beside this script says where each will stand.
"""
import collections
import os
import subprocess
import sys

ORDER = ['lib', 'host', 'crypto', 'heap', 'thread', 'vfs', 'mm', 'proc', 'fs', 'sys', 'entry']
RANK = {room: i for i, room in enumerate(ORDER)}
RANK.update({room: RANK['fs'] for room in ('net', 'event', 'ipc')})

objects = os.path.join(sys.argv[1], 'libos/liblibos_objects.a.p')
moves = {}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'libos-floors.txt'), encoding='utf-8') as f:
    for line in f:
        if not line.startswith('#'):
            today, then = line.split()
            moves[today] = then

sources = {o: 'libos/' + o[:-2].replace('_', '/', 1) for o in os.listdir(objects) if o.endswith('.o')}
room = {o: moves.get(source, source).split('/')[1] for o, source in sources.items()}
unplaced = sorted(sources[o] for o in sources if room[o] not in RANK)
if unplaced:
    sys.exit('libos-floors.txt has no room for: ' + ' '.join(unplaced))

defined, needed = {}, {}
for o in sources:
    needed[o] = set()
    out = subprocess.run(['nm', os.path.join(objects, o)], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        fields = line.split()
        if fields[-2] in ('U', 'w'):
            needed[o].add(fields[-1])
        elif fields[-2] in 'TDBRVWC':
            defined[fields[-1]] = o

upward = collections.defaultdict(lambda: collections.defaultdict(set))
for o, names in needed.items():
    for name in names:
        other = defined.get(name)
        if other is None or room[other] == room[o] or RANK[room[other]] < RANK[room[o]]:
            continue
        upward[room[o], room[other]][name].add(os.path.basename(sources[o]))

for pair in sorted(upward, key=lambda p: (RANK[p[0]], RANK[p[1]])):
    print(f'{pair[0]} -> {pair[1]}:', '; '.join(f'{name} ({", ".join(sorted(files))})' for name, files in sorted(upward[pair].items())))
print(len({name for names in upward.values() for name in names}), 'names point up')
