# tmux, script, and an interactive bash on a pseudo-terminal: job control by keys, window size
cd /tmp
export TERM=xterm
tmux -f /dev/null new-session -d -s a -x 80 -y 24 sh
sleep 2
tmux send-keys -t a 'echo $((6*7))' Enter
sleep 2
tmux capture-pane -p -t a | grep -c '^42'
tmux split-window -t a && tmux list-panes -t a | cut -d: -f1
tmux kill-server
script -qec 'echo in script; exit 4' log </dev/null
echo $?
python3 - <<'X'
import fcntl, os, pty, select, struct, termios
pid, fd = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "--norc", "-i"])
def until(what):
    out = b""
    while what not in out and select.select([fd], [], [], 30)[0]:
        out += os.read(fd, 4096)
    return what in out
os.write(fd, b"PS1='> '\n")
print(until(b"> "))
for keys, answer in ((b"sleep 100\n", b"sleep 100"), (b"\x1a", b"Stopped"), (b"jobs\n", b"Stopped"), (b"bg\n", b"sleep 100 &"),
                     (b"fg\n", b"sleep 100"), (b"\x03", b"> "), (b"echo $?\n", b"130"), (b"cat\n", b"cat"), (b"line\n", b"line\r\nline"),
                     (b"\x04", b"> "), (b"sleep 50 | sleep 50\n", b"sleep 50\r\n"), (b"\x1c", b"> "), (b"echo $?\n", b"131")):
    import time
    time.sleep(0.5)
    os.write(fd, keys)
    print(keys, until(answer))
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
os.write(fd, b"stty size\n")
print(until(b"33 99"))
os.write(fd, b"exit 6\n")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
X
