#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Image files for tests: make-image.py KIND CASE OUT, where KIND is layout, docker or docker-legacy, with .gz or .zst for the
layers' compression; "tree" makes the directory that the good case unpacks to. Cases are the functions below."""
import gzip, hashlib, io, json, os, subprocess, sys, tarfile

TIME = 1600000000


def entry(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, link="", mtime=TIME, xattrs=None, dev=(0, 0)):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.linkname, info.mtime, info.size = kind, mode, uid, gid, link, mtime, len(data)
    info.devmajor, info.devminor = dev
    info.pax_headers = {"SCHILY.xattr." + k: v for k, v in (xattrs or {}).items()}
    return info, data


def folder(name, mode=0o755, **more):
    return entry(name, tarfile.DIRTYPE, mode=mode, **more)


def symlink(name, target, **more):
    return entry(name, tarfile.SYMTYPE, mode=0o777, link=target, **more)


def hardlink(name, target, **more):
    return entry(name, tarfile.LNKTYPE, link=target, **more)


def good():
    """What `tree` below makes: every kind of object, whiteouts of each kind, links that lead through one another."""
    return [
        [folder("./"), folder("bin"), entry("bin/tool", data=b"tool", mode=0o4755, uid=7, gid=8), hardlink("bin/same", "bin/tool", mode=0o4755, uid=7, gid=8),
         folder("etc"), entry("etc/gone", data=b"x"), entry("etc/stays", data=b"stays"), folder("var"), folder("var/lib"),
         entry("var/lib/old", data=b"old"), folder("var/lib/deep"), entry("var/lib/deep/old", data=b"old"),
         symlink("lib", "usr/lib"), folder("usr"), folder("usr/lib"), folder("becomes-file"), entry("becomes-file/x"),
         entry("becomes-folder", data=b"x"), entry("n\u00e4me \U0001f600", data=b"utf-8"), entry("twice", data=b"first")],
        [entry("etc/.wh.gone"), folder("var/lib", mtime=TIME + 5), entry("var/lib/new", data=b"new"), entry("var/lib/.wh..wh..opq"),
         entry("lib/through-link", data=b"l", mode=0o600, uid=70000, gid=70001), entry("becomes-file", data=b"file"),
         folder("becomes-folder", mode=0o1777), entry("becomes-folder/in", data=b"in"), entry("twice", data=b"second"),
         entry("usr/lib/cap", data=b"cap", mode=0o755, xattrs={"user.note": "hello"}), entry("/absolute", data=b"abs"),
         entry("implied/deep/file", data=b"f"), entry(".wh..wh.plnk/1.2", data=b"aufs"), entry("etc/.wh.never-was"),
         entry("dev-null", tarfile.CHRTYPE, dev=(1, 3), mode=0o666), entry("fifo", tarfile.FIFOTYPE)],
        [hardlink("etc/linked", "etc/stays", mode=0o640, uid=9)],  # what it says is the file's
    ]


def tree(out):
    os.umask(0o022)
    os.mkdir(out)
    os.chmod(out, 0o755)

    def put(name, data, mode=0o644, uid=0, gid=0):
        path = os.path.join(out, name)
        with open(path, "wb") as f:
            f.write(data)
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        os.utime(path, (TIME, TIME))

    for name in ["bin", "etc", "var", "var/lib", "usr", "usr/lib", "becomes-folder", "implied", "implied/deep"]:
        os.mkdir(os.path.join(out, name))
    put("bin/tool", b"tool", 0o4755, 7, 8)
    os.link(out + "/bin/tool", out + "/bin/same")
    put("etc/stays", b"stays", 0o640, 9)
    os.link(out + "/etc/stays", out + "/etc/linked")
    put("var/lib/new", b"new")
    os.symlink("usr/lib", out + "/lib")
    os.utime(out + "/lib", (TIME, TIME), follow_symlinks=False)
    put("usr/lib/through-link", b"l", 0o600, 70000, 70001)
    put("usr/lib/cap", b"cap", 0o755)
    os.setxattr(out + "/usr/lib/cap", "user.note", b"hello")
    put("becomes-file", b"file")
    put("becomes-folder/in", b"in")
    os.chmod(out + "/becomes-folder", 0o1777)
    put("n\u00e4me \U0001f600", b"utf-8")
    put("twice", b"second")
    put("absolute", b"abs")
    put("implied/deep/file", b"f")
    os.mknod(out + "/dev-null", 0o20666, os.makedev(1, 3))
    os.chmod(out + "/dev-null", 0o666)
    os.mkfifo(out + "/fifo")
    os.chmod(out + "/fifo", 0o644)
    for name in ["dev-null", "fifo", "bin", "etc", "var", "usr", "usr/lib", "becomes-folder"]:
        os.utime(os.path.join(out, name), (TIME, TIME))
    os.utime(out + "/var/lib", (TIME + 5, TIME + 5))
    for name in ["implied/deep", "implied"]:
        os.utime(os.path.join(out, name), (0, 0))


# What leads out of the directory, or would: each says what happens in test names.
def dotdot(): return [[entry("a/../../escaped", data=b"x")]]
def dotdot_hardlink(): return [[entry("../../../../../../etc/hostname", data=b"x")]]
def symlink_out(): return [[symlink("out", os.environ["VICTIM"]), entry("out/escaped", data=b"x")]]
def symlink_up(): return [[folder("d"), symlink("d/out", "../../../../.." + os.environ["VICTIM"]), entry("d/out/escaped", data=b"x")]]
def file_over_symlink(): return [[symlink("f", os.environ["VICTIM"] + "/file"), entry("f", data=b"overwritten")]]
def hardlink_out(): return [[hardlink("h", os.environ["VICTIM"] + "/file"), entry("h", data=b"overwritten")]]
def hardlink_through_symlink(): return [[symlink("s", os.environ["VICTIM"]), hardlink("h", "s/file")]]
def whiteout_out(): return [[symlink("s", os.environ["VICTIM"])], [entry("s/.wh.file")]]
def opaque_out(): return [[symlink("s", os.environ["VICTIM"])], [entry("s/.wh..wh..opq")]]
def whiteout_up(): return [[folder("d"), entry("d/x")], [entry("d/.wh...")]]
def chmod_out(): return [[symlink("s", os.environ["VICTIM"]), folder("s", mode=0o000)]]
def loop(): return [[symlink("a", "b"), symlink("b", "a"), entry("a/x")]]
def special(): return [[entry("odd", b"7")], [entry("odd2", tarfile.CONTTYPE)]]
def deep(): return [[entry("/".join(["d"] * 300), data=b"x")]]
def empty(): return [[entry("x", data=b"x")], []]
def many(): return [[entry("f%d" % i) for i in range(50)]]
def big(): return [[entry("big", data=bytes(3 << 20))]]
def link_loop(): return [[hardlink("a", "b"), hardlink("b", "a")]]
def other(): return [[entry("x", data=b"another")]]


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for info, data in entries:
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def compress(data, how):
    if how == "gz":
        return gzip.compress(data, mtime=0)
    if how == "zst":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layout(layers, how, out, tag="v1", names=None):
    blobs = os.path.join(out, "blobs/sha256")
    os.makedirs(blobs, exist_ok=True)

    def blob(data, kind, **more):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        with open(os.path.join(blobs, digest(data)[7:]), "wb") as f:
            f.write(data)
        return dict({"mediaType": "application/vnd.oci.image." + kind, "digest": digest(data), "size": len(data)}, **more)

    plain = [tar(layer) for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/tool"]},
              "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in plain]}}
    manifest = {"schemaVersion": 2, "config": blob(config, "config.v1+json"),
                "layers": [blob(compress(p, how), "layer.v1.tar" + {"gz": "+gzip", "zst": "+zstd"}.get(how, "")) for p in plain]}
    item = blob(manifest, "manifest.v1+json", annotations={"org.opencontainers.image.ref.name": tag},
                platform={"os": "linux", "architecture": "amd64"})
    index = {"schemaVersion": 2, "manifests": []}
    path = os.path.join(out, "index.json")
    if os.path.exists(path):
        index = json.load(open(path))
    index["manifests"].append(item)
    json.dump(index, open(path, "w"))
    open(os.path.join(out, "oci-layout"), "w").write('{"imageLayoutVersion":"1.0.0"}')


def docker(layers, how, out, legacy):
    plain = [tar(layer) for layer in layers]
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in plain]}}).encode()
    names, members = [], []
    for i, p in enumerate(plain):
        name = "%d/layer.tar" % i
        if legacy and p in plain[:i]:
            members.append(symlink(name, "../%d/layer.tar" % plain.index(p)))
        else:
            members.append(entry(name, data=compress(p, how)))
        names.append(name)
    members.append(entry("config.json", data=config))
    members.append(entry("manifest.json", data=json.dumps([{"Config": "config.json", "RepoTags": ["app:v1"], "Layers": names}]).encode()))
    with open(out, "wb") as f:
        f.write(tar(members))


def main():
    kind, case, out = sys.argv[1:4]
    if kind == "tree":
        return tree(out)
    kind, _, how = kind.partition(".")
    layers = globals()[case]()
    if kind == "layout":
        layout(layers, how, out, *sys.argv[4:5])
    else:
        docker(layers + (layers[-1:] if kind == "docker-legacy" else []), how, out, kind == "docker-legacy")


main()
