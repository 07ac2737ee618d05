# perl, ruby, Lua, Tcl, gawk, zsh, ksh, bc, dc, jq, busybox: processes, signals, sockets, threads of each
cd /tmp
perl -e 'my $p = fork; exit 3 if !$p; waitpid $p, 0; print $? >> 8, "\n"; open my $f, "|-", "cat"; print $f "piped\n"; close $f; print `echo backtick`;
$SIG{ALRM} = sub { print "alarm\n" }; alarm 1; sleep 3; socketpair(my $a, my $b, 1, 1, 0) and print "pair\n"; print scalar gmtime 0, "\n"; exec "echo", "exec"'
perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1"); if (!fork) { $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $s->sockport); print $c "net\n"; exit } $c = $s->accept; print <$c>'
perl -Mthreads -e 'my @t = map { threads->create(sub { $_[0] * 2 }, $_) } 1..5; print join(",", map { $_->join } @t), "\n"'
perl -MTime::HiRes=usleep,setitimer,ITIMER_REAL -e '$SIG{ALRM} = sub { $n++ }; setitimer(ITIMER_REAL, 0.02, 0.02); usleep 1000 while $n < 10; print "interval timer\n"'
perl -MDB_File -e 'tie %h, "DB_File", "/tmp/db"; $h{a} = 1; untie %h; tie %h, "DB_File", "/tmp/db"; print $h{a}, "\n"'
gawk 'BEGIN { "date -u -d @0 +%Y" | getline x; print x; cmd = "cat"; print "co" |& cmd; close(cmd, "to"); cmd |& getline z; print z; printf "%d\n", system("exit 3") }'
ruby -e 'puts Thread.new { sleep 0.1; 5 }.value; r, w = IO.pipe; fork { w.puts "child"; exit! }; w.close; puts r.read; Process.wait; puts $?.exitstatus
require "socket"; s = TCPServer.new("127.0.0.1", 0); Thread.new { c = s.accept; c.puts "tcp"; c.close }; puts TCPSocket.new("127.0.0.1", s.addr[1]).read
require "timeout"; begin; Timeout.timeout(0.2) { sleep 5 }; rescue Timeout::Error; puts "timeout"; end
require "open3"; puts Open3.capture2("tr a-z A-Z", stdin_data: "abc")[0]; trap("USR1") { puts "usr1" }; Process.kill("USR1", $$); sleep 0.2
require "pty"; PTY.spawn("echo pty") { |r, _, _| puts r.gets }; GC.start; exit 3'
echo $?
lua5.4 -e 'print(io.popen("echo p"):read("a")); print(os.execute("exit 3")); for i = 1, 10 do local t = {} for j = 1, 100000 do t[j] = j end end collectgarbage() print(collectgarbage("count") < 10000)'
tclsh <<<'puts [exec echo x | cat]; after 100 {set d 1}; vwait d; set s [socket -server {apply {{c a p} {puts $c srv; close $c}}} -myaddr 127.0.0.1 0]; set c [socket 127.0.0.1 [lindex [fconfigure $s -sockname] 2]]; fileevent $c readable "set e \[gets $c\]"; vwait e; puts $e; exit 4'
echo $?
expect -c 'log_user 0; spawn sh; expect "*"; send "echo \$((40+2))\r"; expect 42 {puts got42}; send "exit 3\r"; expect eof; puts [lindex [wait] 3]'
zsh -fc 'a=(3 1 2); print ${(o)a}; sleep 0.1 & wait; print =(echo x) | wc -l; zmodload zsh/zpty; zpty z cat; zpty -w z hi; zpty -r z l; print $l; zpty -d z; true | false | true; print $pipestatus'
ksh93 -c 'print $((3.5*2)); typeset -A m; m[a]=1; print ${!m[@]}; sleep 0.1 & wait; print foo | read v; print $v'
bc -l <<<'2^100; scale=20; 4*a(1)'
dc -e '2 100^p'
jq -c '.a[1]' <<<'{"a":[1,2]}'
busybox sh -c 'for i in 1 2; do echo $i; done; busybox seq 3 | busybox awk "{s+=\$1} END {print s}"; busybox sha256sum /etc/passwd; busybox timeout 1 busybox sleep 3; echo $?'
