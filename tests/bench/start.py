#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the start of an enclave container costs over an ordinary one's, in turns: from an image in an engine's store, from a plain
directory, fifty at once; and what an idle one holds. start.py WORK ROOTFS ROUNDS STAGE... (several stages are compared)."""
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
work, rootfs, rounds, stages = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
wanted = os.environ.get("BENCH_ROWS", "true python plain many idle").split()
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
null = open("/dev/null", "r+")
AT_ONCE = 50


def bundle(name, root, *command):
    path = f"{work}/{name}"
    os.makedirs(path)
    subprocess.run([f"{stages[0]}/usr/bin/rune", "spec"], cwd=path, check=True)
    with open(f"{path}/config.json") as file:
        config = json.load(file)
    config["root"] = {"path": root, "readonly": True}
    config["process"]["terminal"] = False
    config["process"]["args"] = list(command)
    with open(f"{path}/config.json", "w") as file:
        json.dump(config, file)
    return path


class Side:
    """An ordinary container, or an enclave container, of a stage."""

    def __init__(self, stage, enclave):
        self.rune = f"{stage}/usr/bin/rune"
        self.enclave = enclave
        index = stages.index(stage)
        self.name = ("enclave" if enclave else "ordinary") + (f" {index + 1}" if len(stages) > 1 else "")
        self.state = f"{work}/state{index}"
        self.env = dict(os.environ, RUNE_CACHE_DIR=f"{work}/cache{index}", RUNE_SIGNING_KEY=f"{work}/key{index}.pem")
        self.count = 0

    def start(self, path, *options):
        self.count += 1
        name = f"bench-{os.getpid()}-{self.name.replace(' ', '-')}-{self.count}"
        arguments = [self.rune, "--root", self.state] + (["--enclave"] if self.enclave else [])
        # A file, not a pipe: a detached container keeps its stderr open.
        with open(f"{work}/stderr", "w") as stderr:
            process = subprocess.Popen(arguments + ["run", *options, "--bundle", path, name], stdin=null, stdout=null, stderr=stderr, env=self.env)
        return name, process

    def run(self, path):
        _, process = self.start(path)
        finish(process)

    def delete(self, name):
        subprocess.run([self.rune, "--root", self.state, "delete", "--force", name], env=self.env, check=True, stdin=null, stdout=null)


def finish(process):
    if process.wait() != 0:
        with open(f"{work}/stderr") as stderr:
            sys.exit(f"{process.args}: {stderr.read()}")


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def spent():
    reap()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


ordinary = Side(stages[0], False)
sides = [ordinary] + [Side(stage, True) for stage in stages]


def compare(title, path, action, count):
    cpu, wall = {side: [] for side in sides}, {side: [] for side in sides}
    for i in range(count + 2):
        for side in sides:
            before, begin = spent(), time.perf_counter()
            action(side, path)
            took = time.perf_counter() - begin
            if i >= 2:  # caches are warm from here on
                wall[side].append(took * 1000)
                cpu[side].append((spent() - before) * 1000)
    print(title)
    for side in sides:
        line = f"  {side.name:12}"
        for name, values in (("cpu", cpu), ("wall", wall)):
            for what, of in (("median", statistics.median), ("least", min)):
                line += f"   {name} {what} {of(values[side]):8.2f} ms"
                line += f" {of(values[side]) / of(values[ordinary]):5.2f}"
        print(line, flush=True)


def many(side, path):
    for _, process in [side.start(path) for _ in range(AT_ONCE)]:
        finish(process)


def private(pid):
    """KiB that only this process holds, of memory and of page tables."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        dirty = sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))
    with open(f"/proc/{pid}/status") as file:
        tables = next(int(line.split()[1]) for line in file if line.startswith("VmPTE:"))
    return dirty, tables


def idle(path):
    print("an idle container (sleep): private memory, and page tables beside it")
    for side in sides:
        name, process = side.start(path, "--detach")
        finish(process)
        time.sleep(1)
        state = subprocess.run([side.rune, "--root", side.state, "state", name], env=side.env, check=True, stdout=subprocess.PIPE)
        dirty, tables = private(json.loads(state.stdout)["pid"])
        print(f"  {side.name:12} {dirty} KiB, {tables} KiB", flush=True)
        side.delete(name)
        reap()


# The layout of containerd's store, which tells that the layer is an engine's and not to be walked each time.
store = f"{work}/io.containerd.snapshotter.v1.overlayfs/snapshots"
merged = f"{work}/merged"
for directory in (f"{store}/1/fs", f"{store}/2/fs", f"{store}/2/work", merged):
    os.makedirs(directory)
subprocess.run(["cp", "-a", f"{rootfs}/.", f"{store}/1/fs"], check=True)
subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={store}/1/fs,upperdir={store}/2/fs,workdir={store}/2/work", merged],
               check=True)
try:
    if "true" in wanted:
        compare("/bin/true, image of an engine", bundle("true", merged, "/bin/true"), Side.run, rounds)
    if "python" in wanted:
        compare("python3 -c pass, image of an engine", bundle("python", merged, "/usr/bin/python3", "-c", "pass"), Side.run, rounds)
    if "plain" in wanted:
        compare("/bin/true, plain directory", bundle("plain", rootfs, "/bin/true"), Side.run, rounds)
    if "many" in wanted:
        compare(f"{AT_ONCE} at once of /bin/true", bundle("many", merged, "/bin/true"), many, max(3, rounds // 8))
    if "idle" in wanted:
        idle(bundle("idle", merged, "/bin/sleep", "1000"))
finally:
    subprocess.run(["umount", merged], check=True)
