#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# containerd-shim-rune-v2 with rune, and containerd-shim-runc-v2 with runc, under one containerd and in turns: memory and wake-ups of an idle shim,
# memory of a pod of three containers, `ctr run --rm` of /bin/true, twenty of them at once. shim.sh STAGE [ROUNDS]
set -euo pipefail
stage=$(cd "$1" && pwd)
rounds=${2:-15}
export PATH=$stage/usr/bin:/usr/bin:/usr/sbin:$PATH
for tool in containerd ctr containerd-shim-runc-v2 runc busybox python3; do
    command -v "$tool" >/dev/null || { echo "no $tool: skipped"; exit 0; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/rune-bench.XXXXXX")
export CONTAINERD_ADDRESS=$work/sock CONTAINERD_NAMESPACE=shim-bench-$$
cat >"$work/config.toml" <<TOML
version = 2
root = "$work/root"
state = "$work/run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/sock"
[ttrpc]
  address = "$work/ttrpc"
TOML
setsid containerd --config "$work/config.toml" >"$work/log" 2>&1 </dev/null &
daemon=$!
clean_up() {
    ctr task ls -q | xargs -r -n 1 ctr task rm -f >/dev/null 2>&1 || true
    ctr container ls -q | xargs -r ctr container rm >/dev/null 2>&1 || true
    kill $daemon && wait $daemon 2>/dev/null || true
    rm -rf --one-file-system "$work" "/run/containerd/rune/$CONTAINERD_NAMESPACE"
}
trap clean_up EXIT
for _ in $(seq 600); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done
ctr version >/dev/null || { tail -5 "$work/log"; exit 1; }
root=$work/rootfs
mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp}
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in true sleep sh; do ln -s busybox "$root/bin/$applet"; done
python3 - "$work" "$rounds" <<'PY'
import os, statistics, subprocess, sys, time
work, rounds = sys.argv[1], int(sys.argv[2])
runtimes = ("rune", "runc")
IDLE_SECONDS = 10
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}


def start(runtime, name, *command, options=()):
    return subprocess.Popen(["ctr", "run", "--runtime", f"io.containerd.{runtime}.v2", "--rootfs", *options, f"{work}/rootfs", name, *command],
                            **quiet)


def remove(name):
    subprocess.run(["ctr", "task", "rm", "-f", name], **quiet, check=False)
    subprocess.run(["ctr", "container", "rm", name], **quiet, check=False)


def status(pid, key):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1])


def shims(runtime):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            continue
        if f"containerd-shim-{runtime}-v2" in line and os.environ["CONTAINERD_NAMESPACE"] in line:
            found.append(pid)
    return found


def show(title, unit, values):
    ratio = "%.2f" % (values["rune"] / values["runc"]) if values["runc"] else "-"
    print("%-50s rune %8.1f %s   runc %8.1f %s   ratio %s" % (title, values["rune"], unit, values["runc"], unit, ratio), flush=True)


def pod_of(shim):
    """The shim and all processes below it."""
    pids = [shim]
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            pids += open(f"/proc/{pid}/task/{task}/children").read().split()
    return pids


def proportional(pid):
    """KiB, of which what several processes share counts in parts."""
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1])


def switches(pid):
    """How often the threads of a process were given a processor, or lost it; and which threads these are."""
    total, tasks = 0, sorted(os.listdir(f"/proc/{pid}/task"))
    for task in tasks:
        for line in open(f"/proc/{pid}/task/{task}/status"):
            if "voluntary_ctxt_switches:" in line:
                total += int(line.split()[1])
    return total, tasks


def idle(count):
    """Of one pod: what its shim holds, what all of it holds, and how often its shim wakes up."""
    resident, whole, wakes = {}, {}, {}
    for runtime in runtimes:
        names = [f"idle-{runtime}-{i}" for i in range(count)]
        for name in names:
            options = ("-d", "--annotation", "io.kubernetes.cri.sandbox-id=pod-" + runtime)
            assert start(runtime, name, "/bin/sleep", "1000", options=options).wait() == 0
        time.sleep(1)
        found = shims(runtime)
        assert len(found) == 1, found
        resident[runtime] = status(found[0], "VmRSS") / 1024
        pod = pod_of(found[0])
        assert len(pod) == count + 1, pod
        whole[runtime] = sum(proportional(pid) for pid in pod) / 1024
        before, tasks = switches(found[0])
        time.sleep(IDLE_SECONDS)
        after, tasks_after = switches(found[0])
        assert tasks == tasks_after, (tasks, tasks_after)
        wakes[runtime] = after - before
        for name in names:
            remove(name)
    return resident, whole, wakes


def one(runtime, tag):
    begin = time.perf_counter()
    assert start(runtime, f"one-{runtime}-{tag}", "/bin/true", options=("--rm",)).wait() == 0
    return (time.perf_counter() - begin) * 1000


def many(runtime, tag):
    begin = time.perf_counter()
    for process in [start(runtime, f"many-{runtime}-{tag}-{i}", "/bin/true", options=("--rm",)) for i in range(20)]:
        assert process.wait() == 0
    return (time.perf_counter() - begin) * 1000


def turns(action, count):
    times = {runtime: [] for runtime in runtimes}
    for i in range(count):
        for runtime in runtimes:
            times[runtime].append(action(runtime, i))
    return {runtime: statistics.median(times[runtime][1:]) for runtime in runtimes}


for count, title in ((1, "one container"), (3, "a pod of three")):
    resident, whole, wakes = idle(count)
    show(f"resident memory of a shim, {title}", "MiB", resident)
    show(f"memory of it all (PSS), {title}", "MiB", whole)
    show(f"wake-ups of an idle shim in {IDLE_SECONDS} s, {title}", "  ", wakes)
show("ctr run --rm of /bin/true", "ms", turns(one, rounds + 1))
show("20 of them at once", "ms", turns(many, max(2, rounds // 4) + 1))
PY
