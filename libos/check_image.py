#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check the linked LibOS image: what a reviewer would look for by hand. Writes a stamp file when all is well."""
import re
import subprocess
import sys

image, stamp = sys.argv[1], sys.argv[2]
# `anywhere`: an enclave for any base, whose code must not hold an absolute address (linked with --emit-relocs).
anywhere = sys.argv[3:] == ['anywhere']


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout


problems = []

# Instructions that leave the enclave without ENCLU, or fault in it.
code = run('objdump', '-d', '--no-show-raw-insn', image)
function = ''
for line in code.splitlines():
    if line.endswith('>:'):
        function = line
    if '<_nettle_cpuid>' in function:  # never called: crypto.c chooses itself
        continue
    parts = line.split('\t')
    if len(parts) > 1 and re.match(r'(syscall|sysenter|int |iret|cpuid|in |out |hlt)', parts[1]):
        problems.append('forbidden instruction: ' + line.strip())

# The host chooses the base: code for one base begins with the proof that it lies there, before it uses anything else.
entry = int(re.search(r'Entry point address:\s+(0x[0-9a-f]+)', run('readelf', '-hW', image))[1], 16)
first = [' '.join(line.split('\t')[1].split()[:2]) for line in code.splitlines()
         if re.match(r'\s*[0-9a-f]+:\t', line) and entry <= int(line.split(':')[0], 16) < entry + 32]
if not anywhere and not re.match(r'cmp %gs:0x10,%rbx;jne [0-9a-f]+;lfence', ';'.join(first)):
    problems.append('the entry does not begin with the proof of where the enclave lies: ' + '; '.join(first[:3]))

# Where a value of the host steers, nothing behind its check runs ahead of it.
for name in [] if anywhere else ['ecall_main', 'host_count', 'host_out_max']:
    body = re.search(rf'<{name}>:\n(.*?)(\n\n|\Z)', code, re.DOTALL)
    if not body or 'lfence' not in body[1]:
        problems.append(f'no LFENCE in {name}(), through which values of the host come in')

# The way back from an asynchronous exit is known by its addresses (libos/entry/aex.c): it calls nothing elsewhere, and leaves by the
# jump to what was interrupted, or to attention_entry.
marks = {f[2]: int(f[0], 16) for f in (line.split() for line in run('nm', image).splitlines()) if len(f) == 3}
if '__aex_start' in marks:
    for line in code.splitlines():
        target = re.search(r'\t(?:addr32 )?(call|j\w+) +(?:addr32 )?([0-9a-f]+) <(\w+)', line)
        if not (re.match(r'\s*[0-9a-f]+:\t', line) and marks['__aex_start'] <= int(line.split(':')[0], 16) < marks['__aex_end']):
            continue
        if target and not marks['__aex_start'] <= int(target[2], 16) < marks['__aex_end'] and target[3] != 'attention_entry':
            problems.append('the way back from an asynchronous exit leaves its section: ' + line.strip())
        if 'call' in line and not target or 'jmp' in line and '*' in line and '%gs:' not in line:
            problems.append('the way back from an asynchronous exit goes to an address that it loads: ' + line.strip())

# Of code for any base: relative ones only. The headers' own words on what is loaded are not code.
section = ''
for line in run('readelf', '-rW', image).splitlines() if anywhere else []:
    if line.startswith('Relocation section'):
        section = line
    elif 'R_X86_64_' in line and not re.search(r'R_X86_64_(PC32|PLT32|PC64|NONE) ', line):
        problems.append('absolute address: ' + ' '.join(line.split()))
if anywhere and not section:
    problems.append('no relocations to look at: link with --emit-relocs')

headers = run('readelf', '-lW', image)
for line in headers.splitlines():
    f = line.split()
    if f and f[0] == 'LOAD' and 'W' in ''.join(f[6:-1]) and 'E' in ''.join(f[6:-1]):
        problems.append('writable and executable segment: ' + line.strip())
    if f and f[0] == 'INTERP':
        problems.append('the image wants a dynamic linker')

for line in [] if anywhere else run('readelf', '-rW', image).splitlines():
    if 'R_X86_64_' in line and 'R_X86_64_RELATIVE' not in line:
        problems.append('relocation that the bundle converter does not do: ' + line.strip())

for line in run('readelf', '--dyn-syms', '-W', image).splitlines():
    f = line.split()
    if len(f) == 8 and f[0] != '0:' and f[0].endswith(':') and f[6] != 'UND' and f[1] != 'Value':
        problems.append('exported symbol: ' + f[7])
    if len(f) == 8 and f[6] == 'UND' and f[0] not in ('0:', 'Num:'):
        problems.append('undefined symbol: ' + f[7])

if problems:
    print('\n'.join(problems[:20]), file=sys.stderr)
    sys.exit(1)
with open(stamp, 'w', encoding='ascii') as out:
    out.write('checked\n')
