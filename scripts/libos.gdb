# SPDX-License-Identifier: Apache-2.0
# gdb for an enclave of the LibOS in the software SGX: gdb -x scripts/libos.gdb --args libos-run ... (docs/howto/debug-the-libos.md)
set pagination off
# The software SGX brings pages by SIGSEGV, makes ENCLU and syscall trap, and kicks threads.
handle SIGSEGV SIGBUS SIGILL SIGSYS SIG39 nostop noprint pass

python
import os

ELF = os.environ.get('LIBOS_ELF', 'build/libos/libos.elf')


class LibosSymbols(gdb.Command):
    """Load the symbols of the LibOS where its image lies: libos-symbols (LIBOS_ELF names another file than build/libos/libos.elf)."""

    def __init__(self):
        super().__init__('libos-symbols', gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        # abi/layout.h: the image begins where the LibOS's part of ELRANGE does, a power of two less its quarter or 64 GiB.
        for shift in range(30, 48):
            base = (1 << shift) - min((1 << shift) // 4, 64 << 30)
            try:
                if gdb.selected_inferior().read_memory(base, 4).tobytes() == b'\x7fELF':
                    gdb.execute(f'add-symbol-file {ELF} -o {base:#x}', to_string=True)
                    print(f'LibOS at {base:#x}')
                    return
            except gdb.MemoryError:
                continue
        raise gdb.GdbError('no LibOS in this process yet')


class LibosStart(gdb.Command):
    """Run until the enclave is loaded, then load the symbols of the LibOS."""

    def __init__(self):
        super().__init__('libos-start', gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        # The first host thread of the enclave's threads is made when the LibOS boots.
        catch = gdb.execute('catch syscall clone3', to_string=True)
        gdb.execute('run')
        gdb.execute(f'delete {catch.split()[1]}')
        gdb.execute('libos-symbols')


LibosSymbols()
LibosStart()
end
