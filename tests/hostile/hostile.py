#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the hostile host (docs/design/hostile-host.md): named cases, fixed seeds, random seeds.

  hostile.py [--build DIR] [--jobs N] cases [NAME...]   attacks that are known
  hostile.py ... seeds [COUNT]                          every plan with a few seeds
  hostile.py ... fixed                                  both: what `make check` runs
  hostile.py ... random SECONDS [PLAN...]               new seeds, until the time is over

Ends with "N passed, N failed, N skipped". What failed prints the command that repeats it.
"""
import argparse
import collections
import concurrent.futures
import itertools
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

OUTCOMES = ["fine", "application", "refused", "hang", "host", "fault"]
# Seconds in which a run could go on (limit.c), so that a busy machine is no finding.
LIMIT = 8  # where a hang is no fault
PATIENCE = 60  # where nothing is kept back, so that the run must end
NEVER = 3600  # of the clock: the run itself does not look at its limit any more
# The programs of tests/libos, under plans in which the host denies nothing that they may see.
PROGRAMS = ["exec", "forks", "fsstress", "groups", "mappings", "mqueue", "pipes", "process", "races", "registers", "signals", "sysv", "threads"]
UNSEEN = {"honest", "wakes", "kick", "pages", "swap", "step", "sweep", "areas"}
ENDS = UNSEEN | {"user"}  # nothing is kept back; `user` makes EACCEPT fail, which is ENOMEM
HARMLESS = {"fine", "application", "refused", "hang", "host"}
# Of pages to accept: new, restricted, trimmed, a TCS, a copy.
KINDS, KINDS_END = 5, {"application", "refused"}
# A case is run with seeds 1 to `seeds`; `ok` are the outcomes that it may have.
Case = collections.namedtuple("Case", "finding options parts ok seeds", defaults=[{"fine"}, 1])


Run = collections.namedtuple("Run", "name image options command ok")


CASES = {
    "another-base": Case("C0", ["--base", "0x1000000000", "--limit", "4"], "memory", {"refused", "host", "hang"}),
    "exec": Case("C1", ["--script", "stray ~3000 exec"], "memory threads"),
    "terminals": Case("H2", ["--script", "stray ~20000 terminal", "--limit", "30"], "terminals", {"fine"}, 2),
    "stdio-closed": Case("C1", ["--from-boot", "--script", "ecall #1-9 closed"], "stdio", {"fine"}, 2),
    "stdio-closed-in": Case("C1", ["--from-boot", "--stdin", "--script", "ecall #1-9 closed"], "stdio", {"fine"}, 2),
    "signals": Case("M2", ["--script", "stray ~500 kill"], "signals memory forks"),
    "report-data": Case("C2", ["--script", "stray ~1000 report"], "memory threads"),
    "thread-denied": Case("H2", ["--script", "THREAD_CREATE #4-5000 deny=11"], "threads clones", {"fine", "application", "refused"}, 4),
    "thread-denied-late": Case("H2", ["--script", "THREAD_CREATE 50% deny=11; THREAD_CREATE 50% async=-11"], "clones threads", HARMLESS, 4),
    "entry-page": Case("H3", ["--script", "pages ~300 entry={syscall_entry}"], "registers", {"fine", "refused"}, 4),
    "abort-ignored": Case("H3", ["--script", "STAT #3 claim=12345", "--ignore-abort", "--limit", "3"], "all", {"refused"}),
    "cpuid": Case("H4", ["--script", "pages ~200 cpuid={cpuid_part}; CPUID 70% contract", "--limit", "30"], "cpuid", {"fine", "refused"}, 4),
    "getrandom-fault": Case("H5", ["--script", "pages ~300 stack=0x500000000"], "random", {"fine", "refused"}, 4),
    "localhost": Case("M3", ["--script", "sockets 50% any; * 0.2% data"], "loopback pipes", {"fine", "refused"}, 2),
    "area-words": Case("M1", ["--script", "return 50% quiet", "--limit", "60"], "files pipes host network clock memory", {"fine"}, 2),
    "area-gone": Case("M1", ["--script", "return 1% tell=1"], "files pipes host network", {"refused"}, 2),
    "localhost-forged": Case("M3", ["--script", "sockets 60% localhost"], "network loopback", {"fine", "refused"}, 4),
    "one-domain": Case("M6", [], "domain", {"fine"}, 2),
    "huge-file": Case("sizes", ["--script", "STAT 50% size=9223372036854775807"], "mapped", {"fine", "application"}, 4),
    "filled-page-gone": Case("mm", ["--script", "READ #1-5000 user=0x600000000", "--limit", "20"], "turns"),
    "masked": Case("mounts", ["--host-dev", "--stdin"], "masked"),
    "mount-refused": Case("mounts", ["--from-boot", "--script", "STAT #1 errno=19"], "memory", {"refused", "host"}),
    "file-pages": Case("sizes", ["--script", "READ 50% errno=14; READ 30% errno=4"], "mapped", {"fine", "application"}, 2),
    "configid-tail": Case("C3", ["--from-boot", "--script", "load #1 tail"], "memory", {"refused", "host"}, 2),
    "config-svn": Case("C3", ["--from-boot", "--script", "load #1 svn"], "memory", {"refused", "host"}),
    "deployment-cut": Case("C1", ["--from-boot", "--script", "load #1 cut=0"], "memory", {"refused", "host"}, 2),
    "deployment-grown": Case("C1", ["--from-boot", "--script", "load #1 grow=0"], "memory", {"refused", "host"}, 2),
    "deployment-changed": Case("C1", ["--from-boot", "--script", "load #1 data=0"], "memory", {"refused", "host"}, 4),
    "given-preload": Case("C1", ["--from-boot", "--script", "load #1 fill=0"], "memory", {"refused", "host"}),
    "given-unknown": Case("C1", ["--from-boot", "--script", "load #1 fill=1"], "memory", {"refused", "host"}),
    "given-path": Case("C1", ["--from-boot", "--script", "load #1 fill=2"], "memory", {"refused", "host"}),
    "given-form": Case("C1", ["--from-boot", "--script", "load #1 fill=3"], "memory", {"refused", "host"}),
    "given-allowed": Case("C1", ["--from-boot", "--script", "load #1 fill=4"], "memory"),
    "proxy-honest": Case("C0", ["--proxy", "{proxy}"], "memory", {"fine"}, 2),
    "proxy-changed": Case("C0", ["--proxy", "{proxy}", "--from-boot", "--script", "load #1 proxy"], "memory", {"refused", "host"}, 4),
    "image-changes": Case("C0", ["--script", "given ~50 any"], "sealed memory", {"fine", "application", "refused"}, 4),
    "boot-arguments": Case("C0", ["--from-boot", "--limit", "4", "--script", "ecall 60% wild; ecall 10% again"], "memory", HARMLESS, 8),
    "page-renewed": Case("H3", ["--script", "pages ~20000 renew", "--limit", "4"], "memory forks files", HARMLESS, 4),
    "single-steps": Case("AEX-Notify", ["--aexnotify", "--limit", "60", "--script", "step ~300 again; kick ~5000 any"], "registers signals memory", seeds=2),
    "swept-steps": Case("AEX-Notify", ["--aexnotify", "--limit", "60", "--plan", "sweep"], "registers signals memory", seeds=2),
    # EPCM states: one kind of page to accept for each seed (epcm.c).
    "accept-type": Case("EACCEPT", ["--script", "accept #1 type={kind}"], "all", KINDS_END, KINDS),
    "accept-permissions": Case("EACCEPT", ["--script", "accept #1 permissions={kind}"], "all", KINDS_END, KINDS),
    "accept-pending": Case("EACCEPT", ["--script", "accept #1 pending={kind}"], "all", KINDS_END, KINDS),
    "accept-modified": Case("EACCEPT", ["--script", "accept #1 modified={kind}"], "all", KINDS_END, KINDS),
    "accept-restricted": Case("EACCEPT", ["--script", "accept #1 restricted={kind}"], "all", KINDS_END | {"fine"}, KINDS),
    "accept-address": Case("EACCEPT", ["--limit", "3", "--script", "accept #1 address={kind}"], "all", KINDS_END | {"hang"}, KINDS),
    "boot-panic": Case("M8", ["--from-boot", "--script", "STAT #1 claim=12345"], "memory", {"refused", "host"}),
}


def pattern(size):
    """The sealed file that the workload knows (served.c): word i is pattern(i, SEALED_KEY) of workload.c."""
    mask = (1 << 64) - 1
    key = 77 * 0xBF58476D1CE4E5B9 & mask
    words = ((i * 0x9E3779B97F4A7C15 & mask) ^ key for i in range(size // 8))
    return b"".join((x ^ x >> 29).to_bytes(8, "little") for x in words)


def symbols_of(path):
    text = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    return {line.split()[2]: int(line.split()[0], 16) for line in text.splitlines() if len(line.split()) == 3}


class Bench:
    """A root with the workload, converted once."""
    first = "/bin/workload random"

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.work = tempfile.mkdtemp(prefix="hostile-")
        root = os.path.join(self.work, "root")
        for name in ["bin", "tmp", "proc", "dev", "sys", "host"]:
            os.makedirs(os.path.join(root, name))
        os.chmod(os.path.join(root, "tmp"), 0o1777)
        for name in ["workload", *(f"program-{p}" for p in PROGRAMS)]:
            shutil.copy(os.path.join(self.build, "tests/hostile", name), os.path.join(root, "bin", name))
        with open(os.path.join(root, "pattern"), "wb") as f:
            f.write(pattern(1 << 19))
        # The tenant masks it (tenant.c), and a host may have its own /dev.
        os.mkdir(os.path.join(self.work, "dev"))
        for name in ["root/masked", "dev/null"]:
            with open(os.path.join(self.work, name), "w", encoding="ascii") as f:
                f.write("not to be seen\n")
        # The LibOS as it is installed, and the one with sanitizers.
        self.images = [f"{self.build}/libos/libos.elf", f"{self.build}/tests/hostile/libos-sanitized.elf"]
        # Beside one there is ratls-proxy, which is then in the manifest.
        proxied = os.path.join(self.work, "proxied")
        os.mkdir(proxied)
        self.proxied = [shutil.copy(i, proxied) for i in self.images]
        self.proxy = shutil.copy(os.path.join(self.build, "src/tools/ratls-proxy"), proxied)
        self.symbols, self.workload = {}, None

    def close(self):
        shutil.rmtree(self.work)

    def symbol(self, image, name):
        """Its address, in the program or in the LibOS, for an ELRANGE of 64 GiB."""
        if self.workload is None:
            self.workload = symbols_of(f"{self.build}/tests/hostile/workload")
        if name in self.workload:
            return self.workload[name]
        if image not in self.symbols:
            self.symbols[image] = symbols_of(self.images[image])
        return 0xC00000000 + self.symbols[image][name]

    def command(self, run, host):
        images = self.proxied if "--proxy" in run.options else self.images
        options = [o for o in run.options if o != "--host-dev"]
        dev = ["--bind", f"{self.work}/dev:/dev"] if "--host-dev" in run.options else []
        return [f"{self.build}/tests/hostile/hostile-run", *options, "--", "--libos", images[run.image], "--production",
                "--cache", f"{self.work}/cache", "--key", f"{self.work}/key.pem", "--bind", f"{host}:/host", *dev,
                "--rootfs", f"{self.work}/root", "--", *run.command.split()]

    def run(self, run):
        """(outcome, last line)"""
        host = tempfile.mkdtemp(prefix="host-", dir=self.work)
        try:
            done = subprocess.run(self.command(run, host), stdin=subprocess.DEVNULL, capture_output=True, timeout=NEVER)
        except subprocess.TimeoutExpired:
            return "fault", "the run could not be ended"
        finally:
            shutil.rmtree(host, ignore_errors=True)
        text = done.stderr.decode(errors="replace")
        lines = [line for line in text.splitlines() if line.startswith("hostile: ")]
        if not 0 <= done.returncode < len(OUTCOMES) or not lines:
            return "fault", f"the host half ended with {done.returncode}: {text[-300:]}"
        return OUTCOMES[done.returncode], lines[-1]


def again(run):
    image = ["libos.elf", "libos-sanitized.elf"][run.image]
    return f"    hostile-run {shlex.join(run.options)} ... {image} ... {run.command}"


class Tally:
    def __init__(self):
        self.passed, self.failed, self.lies = 0, 0, 0
        self.outcomes, self.said = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter)

    def add(self, run, result):
        outcome, line = result
        self.outcomes[run.name][outcome] += 1
        found = re.search(r"lies=(\d+)", line)
        self.lies += int(found.group(1)) if found else 0
        # What the enclave, or the host half, said last, with its numbers taken out.
        said = re.sub(r"0x[0-9a-f]+|\d+", "N", line.partition(": ")[2].partition(": ")[2])
        self.said[outcome][said] += 1
        if outcome in run.ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {run.name}: {line}\n{again(run)}", flush=True)

    def end(self):
        for name, count in sorted(self.outcomes.items()):
            print(f"{name:20}", "  ".join(f"{o} {count[o]}" for o in OUTCOMES if count[o]))
        for outcome in ["refused", "host"]:
            for said, times in self.said[outcome].most_common():
                print(f"  {outcome} {times}: {said}")
        print(f"{sum(sum(c.values()) for c in self.outcomes.values())} runs, {self.lies} lies")
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped")
        return 1 if self.failed or not self.passed else 0


def run_all(bench, jobs, work):
    """The first runs alone, for they convert the root."""
    tally = Tally()
    for image in range(len(bench.images)):
        bench.run(Run("first", image, [], bench.first, HARMLESS))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        pending = {}
        work = iter(work)
        while True:
            while len(pending) < jobs:
                item = next(work, None)
                if item is None:
                    break
                pending[pool.submit(bench.run, item)] = item
            if not pending:
                break
            done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                tally.add(pending.pop(future), future.result())
    return tally.end()


def plans(bench):
    out = subprocess.run([f"{bench.build}/tests/hostile/hostile-run", "--plans"], check=True, capture_output=True, text=True).stdout
    return out.split()


def named(bench, names):
    for name in names:
        case = CASES[name]
        for seed in range(1, case.seeds + 1):
            image = seed % 2
            options = [o.replace("{kind}", str(seed - 1)).replace("{proxy}", bench.proxy) for o in case.options]
            options = [re.sub(r"\{(\w+)\}", lambda m: hex(bench.symbol(image, m.group(1))), o) for o in options]
            yield Run(name, image, ["--limit", str(LIMIT), "--seed", str(seed), *options], f"/bin/workload {case.parts}", case.ok)


def told(seed):
    """Half of all: the enclave is told of asynchronous exits."""
    return ["--aexnotify"] if seed & 2 else []


def of_plan(plan, seed, image):
    ok = {"fine"} if plan == "honest" else HARMLESS - {"hang"} if plan in ENDS else HARMLESS
    return Run(plan, image, ["--limit", str(PATIENCE if plan in ENDS else LIMIT), "--seed", str(seed), "--plan", plan, *told(seed)], "/bin/workload all", ok)


def of_program(program, plan, seed, image):
    options = ["--limit", str(PATIENCE), "--seed", str(seed), "--plan", plan, "--bad", "FAILED", *told(seed)]
    # mappings.c writes to a file's pages while its child cuts it: SIGBUS, when the child is quicker than ever.
    ok = {"fine", "application"} if program == "mappings" else {"fine"}
    return Run(f"{program}/{plan}", image, options, f"/bin/program-{program}", ok)


def booting(run):
    """The same from the first ecall on."""
    return run._replace(name="boot", options=[*run.options, "--from-boot"], ok=HARMLESS)


def seeded(bench, count):
    for plan in plans(bench):
        for seed in range(1, count + 1):
            yield of_plan(plan, seed, seed % 2)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("what", choices=["cases", "seeds", "fixed", "random"])
    parser.add_argument("rest", nargs="*")
    args = parser.parse_args()
    bench = Bench(args.build)
    try:
        if args.what == "cases":
            work = named(bench, args.rest or list(CASES))
        elif args.what == "seeds":
            work = seeded(bench, int(args.rest[0]) if args.rest else 2)
        elif args.what == "fixed":
            work = itertools.chain(named(bench, list(CASES)), seeded(bench, 2))
        else:
            until = time.monotonic() + float(args.rest[0])
            names = args.rest[1:] or [p for p in plans(bench) if p != "honest"]

            def endless():
                while time.monotonic() < until:
                    for plan in names:
                        run = of_plan(plan, random.getrandbits(32), random.getrandbits(1))
                        yield booting(run) if random.random() < 0.1 else run
                    yield of_program(random.choice(PROGRAMS), random.choice(sorted(UNSEEN)), random.getrandbits(32), random.getrandbits(1))
            work = endless()
        return run_all(bench, args.jobs, work)
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
