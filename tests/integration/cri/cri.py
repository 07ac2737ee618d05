#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A CRI client for tests: one call of the Container Runtime Interface, as the kubelet makes it.

cri.py SOCKET COMMAND ...; cri_pb2, which protoc makes of cri.proto, is in PYTHONPATH. Streams (exec, attach, forward) go over the WebSocket
that the answer names.
"""
import argparse
import json
import os
import struct
import sys
import threading

import cri_pb2 as pb
import grpc

STATES = ["created", "running", "exited", "unknown"]
PROTOCOL = "v4.channel.k8s.io"  # each message begins with the number of its stream
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


class Runtime:
    def __init__(self, socket):
        self.channel = grpc.insecure_channel("unix://" + socket)

    def call(self, method, request, answer=pb.Empty):
        send = self.channel.unary_unary(
            "/runtime.v1.RuntimeService/" + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString)
        try:
            return send(request, timeout=120)
        except grpc.RpcError as error:
            sys.exit(f"{method}: {error.code().name}: {error.details()}")


def pairs(values):
    return dict(value.split("=", 1) for value in values)


# ---- pods ----

def pod(runtime, args):
    """Run a sandbox; its configuration is kept in DIR/ID.pod, for the containers."""
    network = pb.NODE if args.host_network else pb.POD
    config = pb.PodConfig(
        metadata=pb.PodMetadata(name=args.name, uid=args.name, namespace="default"),
        hostname=args.name, log_directory=args.dir, annotations=pairs(args.annotation),
        linux=pb.SandboxLinux(cgroup_parent=args.cgroup, security_context=pb.SandboxSecurity(
            namespace_options=pb.NamespaceOption(network=network, pid=pb.CONTAINER))))
    made = runtime.call("RunPodSandbox", pb.RunPodSandboxRequest(config=config, runtime_handler=args.handler), pb.PodId)
    with open(f"{args.dir}/{made.pod_sandbox_id}.pod", "wb") as file:
        file.write(config.SerializeToString())
    print(made.pod_sandbox_id)


def pod_status(runtime, args):
    answer = runtime.call("PodSandboxStatus", pb.PodStatusRequest(pod_sandbox_id=args.pod, verbose=True), pb.PodSandboxStatusResponse)
    info = json.loads(answer.info["info"])
    print(["ready", "notready"][answer.status.state], answer.status.network.ip or "-", info["pid"])


def stop_pod(runtime, args):
    runtime.call("StopPodSandbox", pb.PodId(pod_sandbox_id=args.pod))


def remove_pod(runtime, args):
    runtime.call("RemovePodSandbox", pb.PodId(pod_sandbox_id=args.pod))


def pods(runtime, _args):
    for item in runtime.call("ListPodSandbox", pb.Empty(), pb.ListPodSandboxResponse).items:
        print(item.id)


# ---- containers ----

# What a kubelet says of every container (create --kubelet).
MASKED = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
          "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def create(runtime, args):
    sandbox = pb.PodConfig()
    with open(f"{args.dir}/{args.pod}.pod", "rb") as file:
        sandbox.ParseFromString(file.read())
    config = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=args.name), image=pb.ImageSpec(image=args.image), command=args.command,
        envs=[pb.KeyValue(key=key, value=value) for key, value in pairs(args.env).items()],
        mounts=[pb.Mount(host_path=source, container_path=target) for source, target in (m.split(":") for m in args.mount)],
        annotations=pairs(args.annotation), log_path=args.name + ".log", stdin=args.stdin, tty=args.tty,
        linux=pb.ContainerLinux(
            resources=pb.Resources(memory_limit_in_bytes=args.memory, cpu_period=100000, cpu_quota=50000),
            security_context=pb.ContainerSecurity(
                namespace_options=pb.NamespaceOption(pid=pb.CONTAINER), run_as_user=pb.Int64Value(value=args.user),
                readonly_rootfs=args.read_only, masked_paths=MASKED if args.kubelet else [], readonly_paths=READONLY if args.kubelet else [])))
    print(runtime.call("CreateContainer", pb.CreateContainerRequest(
        pod_sandbox_id=args.pod, config=config, sandbox_config=sandbox), pb.ContainerId).container_id)


def start(runtime, args):
    runtime.call("StartContainer", pb.ContainerId(container_id=args.container))


def stop(runtime, args):
    runtime.call("StopContainer", pb.StopContainerRequest(container_id=args.container, timeout=args.grace))


def remove(runtime, args):
    runtime.call("RemoveContainer", pb.ContainerId(container_id=args.container))


def containers(runtime, _args):
    for item in runtime.call("ListContainers", pb.Empty(), pb.ListContainersResponse).containers:
        print(item.id, STATES[item.state], item.metadata.name)


def status(runtime, args):
    answer = runtime.call("ContainerStatus", pb.ContainerStatusRequest(container_id=args.container, verbose=True), pb.ContainerStatusResponse)
    print(STATES[answer.status.state], answer.status.exit_code, answer.status.reason or "-", json.loads(answer.info["info"])["pid"])


def stats(runtime, args):
    found = runtime.call("ContainerStats", pb.ContainerId(container_id=args.container), pb.ContainerStatsResponse).stats
    print(found.cpu.usage_core_nano_seconds.value, found.memory.working_set_bytes.value)


def update(runtime, args):
    runtime.call("UpdateContainerResources", pb.UpdateContainerResourcesRequest(
        container_id=args.container, linux=pb.Resources(memory_limit_in_bytes=args.memory)))


def reopen(runtime, args):
    runtime.call("ReopenContainerLog", pb.ContainerId(container_id=args.container))


def exec_sync(runtime, args):
    answer = runtime.call("ExecSync", pb.ExecSyncRequest(
        container_id=args.container, cmd=args.command, timeout=args.timeout), pb.ExecSyncResponse)
    for stream, data in ((sys.stdout, answer.stdout), (sys.stderr, answer.stderr)):
        stream.buffer.write(data)
        stream.flush()
    sys.exit(answer.exit_code)


# ---- streams ----

def connect(url):
    import websocket  # here, for most calls need none, and start faster without
    return websocket.create_connection(url.replace("http://", "ws://", 1), subprotocols=[PROTOCOL], timeout=60)


def messages(connection):
    """The stream and the bytes of each message, until the other side ends."""
    from websocket import WebSocketConnectionClosedException
    while True:
        try:
            data = connection.recv()
        except WebSocketConnectionClosedException:
            return
        if not data:
            return
        yield data[0], data[1:]


def converse(url, has_input, size):
    """Pass the streams of a process on until it ends; its exit code."""
    connection = connect(url)

    def feed():
        while data := os.read(0, 65536):
            connection.send_binary(bytes([STDIN]) + data)

    if size:
        columns, rows = map(int, size.split("x"))
        connection.send_binary(bytes([RESIZE]) + json.dumps({"Width": columns, "Height": rows}).encode())
    if has_input:
        threading.Thread(target=feed, daemon=True).start()
    for stream, data in messages(connection):
        if stream == ERROR:
            end = json.loads(data)
            if end["status"] == "Success":
                return 0
            for cause in end.get("details", {}).get("causes", []):
                if cause["reason"] == "ExitCode":
                    return int(cause["message"])
            sys.exit(end.get("message", "no message"))
        file = sys.stderr if stream == STDERR else sys.stdout
        file.buffer.write(data)
        file.flush()
    return 0


def exec_stream(runtime, args):
    url = runtime.call("Exec", pb.ExecRequest(
        container_id=args.container, cmd=args.command, tty=args.tty, stdin=args.stdin, stdout=True, stderr=not args.tty), pb.Url).url
    sys.exit(converse(url, args.stdin, args.size))


def attach(runtime, args):
    url = runtime.call("Attach", pb.AttachRequest(
        container_id=args.container, stdin=True, tty=args.tty, stdout=True, stderr=not args.tty), pb.Url).url
    sys.exit(converse(url, True, args.size))


def forward(runtime, args):
    """Send standard input to a port of the pod, and print what comes back until the other side ends."""
    url = runtime.call("PortForward", pb.PortForwardRequest(pod_sandbox_id=args.pod, port=[args.port]), pb.Url).url
    connection = connect(f"{url}?port={args.port}")
    for _ in range(2):  # data and errors: each begins with the port
        first = connection.recv()
        assert struct.unpack("<H", first[1:3])[0] == args.port, first
    connection.send_binary(bytes([0]) + sys.stdin.buffer.read())
    for stream, data in messages(connection):
        if stream == 1:
            sys.exit(data.decode())
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("socket")
    commands = parser.add_subparsers(required=True)

    def command(name, function, *positional):
        sub = commands.add_parser(name)
        sub.set_defaults(function=function)
        for argument in positional:
            sub.add_argument(argument)
        return sub

    sub = command("pod", pod, "name")
    sub.add_argument("--handler", default="")
    sub.add_argument("--annotation", action="append", default=[])
    sub.add_argument("--cgroup", default="")
    sub.add_argument("--dir", required=True)
    sub.add_argument("--host-network", action="store_true")
    command("pod-status", pod_status, "pod")
    command("stop-pod", stop_pod, "pod")
    command("remove-pod", remove_pod, "pod")
    command("pods", pods)
    sub = command("create", create, "pod", "name", "image")
    sub.add_argument("command", nargs="*")
    for option in ("--annotation", "--env", "--mount"):
        sub.add_argument(option, action="append", default=[])
    sub.add_argument("--dir", required=True)
    sub.add_argument("--memory", type=int, default=0)
    sub.add_argument("--user", type=int, default=0)
    for option in ("--stdin", "--tty", "--read-only", "--kubelet"):
        sub.add_argument(option, action="store_true")
    command("start", start, "container")
    command("stop", stop, "container").add_argument("grace", type=int)
    command("remove", remove, "container")
    command("containers", containers)
    command("status", status, "container")
    command("stats", stats, "container")
    command("update", update, "container").add_argument("--memory", type=int, required=True)
    command("reopen", reopen, "container")
    sub = command("exec-sync", exec_sync, "container")
    sub.add_argument("command", nargs="+")
    sub.add_argument("--timeout", type=int, default=0)
    sub = command("exec", exec_stream, "container")
    sub.add_argument("command", nargs="+")
    sub.add_argument("--stdin", action="store_true")
    sub.add_argument("--tty", action="store_true")
    sub.add_argument("--size")
    sub = command("attach", attach, "container")
    sub.add_argument("--tty", action="store_true")
    sub.add_argument("--size")
    command("forward", forward, "pod").add_argument("port", type=int)
    args = parser.parse_args()
    args.function(Runtime(args.socket), args)


main()
