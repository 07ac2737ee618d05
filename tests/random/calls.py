#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random system calls inside the LibOS (docs/design/random-calls.md).

  calls.py [--build DIR] [--jobs N] fixed               a minute: the same seeds each time
  calls.py ... random SECONDS                           new seeds, until the time is over
  calls.py ... one KIND SEED SECONDS [trace]            one run, whose output is shown
  calls.py ... differences SEED COUNT                   where pure calls have other results than natively, to read

Ends with "N passed, N failed, N skipped". What failed prints the command that repeats it.
"""
import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "hostile"))
import hostile  # noqa: E402

EACH = 12  # seconds of random calls in a run
PATIENCE = 150  # until it must have ended: the supervisor's own patience, and what a loaded machine needs
KILLED = "out of enclave memory while switching between forked processes"

# What a run is: image (0: as installed, 1: with sanitizers), options of hostile-run, words for the supervisor.
KINDS = {
    "plain": (0, [], ""),
    "user": (0, [], "user"),
    "sanitized": (1, [], ""),
    "memory": (1, [], "fail=100"),
    "scarce": (1, [], "fail=15"),
    "host": (0, ["--script", "THREAD_CREATE 5% errno=11; TCS_ADD 5% errno=12; files 2% errno; sockets 5% errno"], ""),
    "wakes": (1, ["--script", "wakes 2% late; WAKE 2% twice; KICK 3% late; kick ~500 any; wake ~500 any"], ""),
}


class Bench(hostile.Bench):
    """A root with nothing but the program."""
    first = "/bin/calls sum"

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.work = tempfile.mkdtemp(prefix="calls-")
        root = os.path.join(self.work, "root")
        for name in ["bin", "tmp", "proc", "dev", "sys", "host"]:
            os.makedirs(os.path.join(root, name))
        os.chmod(os.path.join(root, "tmp"), 0o1777)
        shutil.copy(os.path.join(self.build, "tests/random/calls"), os.path.join(root, "bin/calls"))
        self.images = [f"{self.build}/libos/libos.elf", f"{self.build}/tests/hostile/libos-sanitized.elf"]

    def command(self, run, host):
        command = super().command(run, host)
        at = command.index("--libos")
        return command[:at] + ["--memory", "2G"] + command[at:]

    def run(self, run):
        outcome, line = super().run(run)
        # Without memory a member of a fork group is killed; process 1 is one, now and then.
        if outcome == "application" and "code=137" in line and "fail=" in run.command:
            return "fine", line
        # A host that denies the very thread which the program would start with has only refused.
        if outcome == "host" and run.name == "host" and "code=125" in line and "lies=0" not in line:
            return "fine", line
        return outcome, line


def run_of(kind, seed, seconds, words=""):
    image, options, more = KINDS[kind]
    return hostile.Run(kind, image, ["--limit", str(PATIENCE + seconds), "--seed", str(seed), *options],
                       f"/bin/calls supervise {seed:x} {seconds} {more} {words}".strip(), {"fine"})


def sequences(text):
    found = {}
    for part in text.split("sequence ")[1:]:
        seed, *lines = part.splitlines()
        found[seed] = lines
    return found


def differences(bench, seed, count):
    """The first difference of each sequence, by call and results; for a person, who knows which are meant."""
    words = ["pure", seed, count]
    native = subprocess.run([f"{bench.build}/tests/random/calls", *words], capture_output=True, check=False, cwd="/")
    host = tempfile.mkdtemp(prefix="host-", dir=bench.work)
    run = hostile.Run("pure", 0, ["--limit", str(PATIENCE)], " ".join(["/bin/calls", *words]), {"fine"})
    inside = subprocess.run(bench.command(run, host), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    ours, seen, example = sequences(inside.stdout.decode(errors="replace")), collections.Counter(), {}
    for name, lines in sequences(native.stdout.decode(errors="replace")).items():
        pair = next(((a, b) for a, b in zip(lines, ours.get(name, [])) if a != b), None)
        if pair is not None:
            key = (pair[0].partition("(")[0], pair[0].rpartition("=")[2], pair[1].rpartition("=")[2])
            seen[key] += 1
            example.setdefault(key, pair[0])
    for key, times in seen.most_common():
        print(f"{times:4} {key[0]}: {key[1]} natively, {key[2]} inside, as {example[key]}")
    return 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("what", choices=["fixed", "random", "one", "differences"])
    parser.add_argument("rest", nargs="*")
    args = parser.parse_args()
    bench = Bench(args.build)
    try:
        if args.what == "differences":
            return differences(bench, *args.rest)
        if args.what == "one":
            kind, seed, seconds, *words = args.rest
            run = run_of(kind, int(seed, 16), int(seconds), " ".join(words))
            host = tempfile.mkdtemp(prefix="host-", dir=bench.work)
            return subprocess.run(bench.command(run, host), stdin=subprocess.DEVNULL, check=False).returncode
        if args.what == "fixed":
            work = [run_of(kind, 1, EACH) for kind in KINDS]
        else:
            until = time.monotonic() + float(args.rest[0])

            def endless():
                while time.monotonic() < until:
                    for kind in KINDS:
                        yield run_of(kind, random.getrandbits(32), EACH)
            work = endless()
        return hostile.run_all(bench, args.jobs, work)
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
