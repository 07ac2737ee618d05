# SPDX-License-Identifier: Apache-2.0
"""Makes a signed Gramine manifest of an ordinary image. rune create runs it (src/enclave/gramine.c has the other side), for containers of
runtimes/gramine whose image brings no manifest. A Python program, for Gramine's own tools, which sign, are such programs.

stdin: a JSON object {rootfs, config, given, simulated, debug, memory, threads, mounts, signature, prefix}; given: names of variables that the
host may fill in. stdout: the directory with entrypoint.manifest.sgx and
entrypoint.sig, or, with exit code 1, one line that says what is wrong."""
import fcntl
import glob
import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import time

CACHE, KEY = '/var/lib/rune/gramine', '/var/lib/rune/keys/signing-key.pem'
KEEP_DAYS = 30
MEMORY_LEAST, MEMORY_MOST, MEMORY = 256 << 20, 64 << 30, 256 << 20  # the last is Gramine's own default
THREADS_LEAST, THREADS_MOST, THREADS = 8, 1024, 64
# Inside Gramine's own, or of no use to an enclave.
NOT_FILES = ('/proc', '/sys', '/dev', '/run', '/tmp', '/var/tmp')
IN_MEMORY = ('/run', '/tmp', '/var/tmp')
LINKS = 40


class Refused(Exception):
    """What the user is told."""


def resolve(root, path):
    """Path in the image without symbolic links, which never lead out of it; None: nothing is there."""
    done, todo, links = [], [part for part in path.split('/') if part], 0
    while todo:
        part = todo.pop(0)
        if part in ('.', '..'):
            done = done[:-1] if part == '..' else done
            continue
        here = os.path.join(root, *done, part)
        if os.path.islink(here):
            links += 1
            if links > LINKS:
                return None
            target = os.readlink(here)
            done = [] if target.startswith('/') else done
            todo = [p for p in target.split('/') if p] + todo
        elif os.path.lexists(here):
            done.append(part)
        else:
            return None
    return '/' + '/'.join(done)


def on_host(root, path):
    return os.path.join(root, path.lstrip('/'))


def below(path, directories):
    return any(path == d or path.startswith(d.rstrip('/') + '/') for d in directories)


def walk(root, excluded):
    """Pairs (name in the image, file on the host). Links to files, and links to directories at the top (/bin, /lib), are names, too."""
    top = sorted(os.listdir(root))
    starts = [('/', root)]
    for name in top:
        target = resolve(root, '/' + name) if os.path.islink(os.path.join(root, name)) else None
        if target and target != '/' and os.path.isdir(on_host(root, target)):
            starts.append(('/' + name, on_host(root, target)))
    for start, directory in starts:
        for here, directories, files in os.walk(directory):
            inside = os.path.normpath(start + '/' + os.path.relpath(here, directory))
            directories[:] = sorted(d for d in directories if not below(os.path.normpath(inside + '/' + d), excluded))
            for name in sorted(files):
                path = os.path.normpath(inside + '/' + name).replace('//', '/')
                real = resolve(root, '/' + os.path.relpath(os.path.join(here, name), root))
                if real and not below(path, excluded) and not below(real, excluded) and stat.S_ISREG(os.lstat(on_host(root, real)).st_mode):
                    yield path, on_host(root, real)


def fingerprint(root, excluded):
    """What changes when a file of the image does: nobody can set a ctime back. A mistake is none of safety, for the enclave checks the files."""
    total = hashlib.sha256()
    for here, directories, files in os.walk(root):
        inside = os.path.normpath('/' + os.path.relpath(here, root))
        directories.sort()
        links = [d for d in directories if os.path.islink(os.path.join(here, d))]
        directories[:] = [d for d in directories if not below(os.path.normpath(inside + '/' + d), excluded)]
        for name in sorted(files + links):
            path = os.path.join(here, name)
            st = os.lstat(path)
            link = os.readlink(path) if stat.S_ISLNK(st.st_mode) else ''
            total.update(repr((inside, name, st.st_mode, st.st_ino, st.st_size, st.st_ctime_ns, link)).encode())
    return total.hexdigest()


def sha256(path):
    total = hashlib.sha256()
    with open(path, 'rb') as file:
        for part in iter(lambda: file.read(1 << 20), b''):
            total.update(part)
    return total.hexdigest()


# ---- the manifest ----

def quote(text):
    """A TOML string: JSON's, but for one character that TOML wants escaped."""
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise Refused(f'{text!r} is not UTF-8, and a manifest is') from e
    return json.dumps(text, ensure_ascii=False).replace('\x7f', '\\u007f')


def find_program(request, name, path):
    root, cwd = request['rootfs'], request['config']['process'].get('cwd', '/')
    places = [os.path.join(cwd, name)] if '/' in name else [os.path.join(d or cwd, name) for d in path.split(':')]
    for place in places:
        real = resolve(root, place)
        if real and os.path.isfile(on_host(root, real)) and os.stat(on_host(root, real)).st_mode & 0o111:
            return real
    raise Refused(f'exec: "{name}": executable file not found in the image')


def home_of(root, uid):
    try:
        with open(on_host(root, resolve(root, '/etc/passwd') or '/etc/passwd'), encoding='utf-8', errors='replace') as file:
            for line in file:
                fields = line.rstrip('\n').split(':')
                if len(fields) == 7 and fields[2] == str(uid) and fields[5].startswith('/'):
                    return fields[5]
    except OSError:
        pass
    return '/'


def environment(request):
    process = request['config']['process']
    out = {}
    for entry in process.get('env', []):
        name, equal, value = entry.partition('=')
        if equal and not name.startswith(('ENCLAVE_', 'RUNE_')):
            out[name] = value
    out.setdefault('HOME', home_of(request['rootfs'], process.get('user', {}).get('uid', 0)))
    return out


def passed_mounts(request):
    """Those that enclave.mounts names: the host reads and writes what is in them."""
    return [entry.rpartition('=')[0] for entry in (request.get('mounts') or '').split()]


def power_of_two(value):
    return 1 << (value - 1).bit_length()


def manifest(request):
    """The manifest without its trusted files."""
    config = request['config']
    process = config['process']
    env = environment(request)
    user = process.get('user', {})
    limits = config.get('linux', {}).get('resources', {})
    memory = request.get('memory') or limits.get('memory', {}).get('limit') or MEMORY
    threads = request.get('threads') or limits.get('pids', {}).get('limit') or THREADS
    memory = memory if memory > 0 else MEMORY
    threads = threads if threads > 0 else THREADS
    passed = passed_mounts(request)
    tmpfs = sorted({*IN_MEMORY, *(m['destination'] for m in config.get('mounts', []) if m.get('type') == 'tmpfs')} - set(passed) - {'/dev'})
    lines = [
        'loader.log_level = "error"',
        f'loader.argv = [{", ".join(quote(a) for a in process["args"])}]',
        f'loader.uid = {user.get("uid", 0)}', f'loader.gid = {user.get("gid", 0)}',
        f'libos.entrypoint = {quote(find_program(request, process["args"][0], env.get("PATH", "/usr/local/bin:/usr/bin:/bin")))}',
        'sys.enable_sigterm_injection = true',
        'fs.root = {type = "chroot", uri = "file:/"}',
        f'fs.start_dir = {quote(process.get("cwd", "/"))}',
        f'fs.mounts = [{", ".join("{type = " + quote("tmpfs") + ", path = " + quote(t) + "}" for t in tmpfs if not t.startswith("/dev/"))}]',
        f'sgx.enclave_size = "{power_of_two(min(max(memory, MEMORY_LEAST), MEMORY_MOST)) >> 20}M"',
        f'sgx.max_threads = {min(max(threads, THREADS_LEAST), THREADS_MOST)}',
        f'sgx.debug = {"true" if request["debug"] else "false"}',
        f'sgx.remote_attestation = "{"none" if request["simulated"] else "dcap"}"',
        'sgx.file_check_policy = "strict"',
    ]
    if passed:
        lines.append(f'sgx.allowed_files = [{", ".join(quote("file:" + p.rstrip("/") + "/") for p in passed)}]')
    lines += [f'loader.env.{quote(name)} = ' + ('{passthrough = true}' if name in request['given'] else quote(value))
              for name, value in sorted(env.items())]
    return '\n'.join(lines) + '\n'


def excluded_paths(request):
    mounts = {m['destination'] for m in request['config'].get('mounts', []) if m['destination'] != '/'}
    return sorted({*NOT_FILES, *mounts})


def trusted_files(request):
    hashes, out = {}, []
    for path, file in walk(request['rootfs'], excluded_paths(request)):
        try:
            text = quote('file:' + path)
        except Refused:
            continue  # Gramine cannot name it either
        if file not in hashes:
            hashes[file] = sha256(file)
        out.append(f'[[sgx.trusted_files]]\nuri = {text}\nsha256 = "{hashes[file]}"\n')
    return '\n'.join(out)


# ---- signing, and the cache ----

def default_path(path, variable, home, rest):
    if os.geteuid() == 0:
        return path
    return os.path.join(os.environ.get(variable) or os.path.expanduser(home), 'rune', rest)


def run(request, tool, *arguments):
    program = os.path.join(request['prefix'], 'bin', tool)
    env = dict(os.environ)
    packages = glob.glob(request['prefix'] + '/lib/python3*/*-packages')
    if request['prefix'] != '/usr' and packages:
        env['PYTHONPATH'] = ':'.join(packages)
    try:
        done = subprocess.run([program, *arguments], env=env, capture_output=True, text=True, check=False)
    except OSError as e:
        raise Refused(f'the image brings no signed manifest, and this node has not Gramine\'s tools to make one: {program}: {e.strerror}') from e
    if done.returncode != 0:
        raise Refused(f'{tool}: {(done.stderr.strip() or done.stdout.strip() or "failed").splitlines()[-1]}')


def signing_key(request):
    if os.environ.get('RUNE_SIGNING') == 'client' or request.get('signature'):
        raise Refused('signatures that are made elsewhere: let the image bring the signed manifest')
    key = os.environ.get('RUNE_SIGNING_KEY') or default_path(KEY, 'XDG_DATA_HOME', '~/.local/share', 'keys/signing-key.pem')
    if not key.startswith('/'):
        raise Refused(f'signing key {key}: Gramine\'s tools sign with a key in a file')
    if not os.path.exists(key):
        os.makedirs(os.path.dirname(key), mode=0o700, exist_ok=True)
        run(request, 'gramine-sgx-gen-private-key', key)
    return key


def make(request, text, entry, key):
    parent = os.path.dirname(entry)
    work = tempfile.mkdtemp(dir=parent, prefix='.new-')
    try:
        manifest_file = os.path.join(work, 'entrypoint.manifest')
        pathlib.Path(manifest_file).write_text(text + '\n' + trusted_files(request), encoding='utf-8')
        run(request, 'gramine-sgx-sign', '--chroot', request['rootfs'], '--manifest', manifest_file, '--output', manifest_file + '.sgx', '--key', key)
        os.unlink(manifest_file)
        os.chmod(work, 0o755)
        os.rename(work, entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def trim(cache):
    for name in os.listdir(cache):
        path = os.path.join(cache, name)
        if name != 'lock' and os.stat(path).st_mtime < time.time() - KEEP_DAYS * 86400:
            shutil.rmtree(path, ignore_errors=True)


def convert(request):
    cache = os.environ.get('RUNE_GRAMINE_CACHE') or default_path(CACHE, 'XDG_CACHE_HOME', '~/.cache', 'gramine')
    text, key = manifest(request), signing_key(request)
    libos = glob.glob(request['prefix'] + '/lib*/**/gramine/libsysdb.so', recursive=True)
    excluded = excluded_paths(request)
    parts = [text, excluded, fingerprint(request['rootfs'], excluded), sha256(key), [sha256(f) for f in sorted(libos)]]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    entry = os.path.join(cache, name)
    os.makedirs(cache, mode=0o755, exist_ok=True)
    with open(os.path.join(cache, 'lock'), 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(entry):
            make(request, text, entry, key)
        os.utime(entry)
        trim(cache)
    return entry


def main():
    os.umask(0o022)
    try:
        print(convert(json.load(sys.stdin)))
        return 0
    except (Refused, OSError) as e:
        print(e)
        return 1


sys.exit(main())
