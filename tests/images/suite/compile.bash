# gcc, g++, make -j2, static and shared libraries, the sanitizer, binutils, m4, flex
cd /tmp
cat >a.c <<'X'
#include <stdio.h>
#include <pthread.h>
void *f(void *p) { return p; }
int main(int c, char **v) { pthread_t t; pthread_create(&t, 0, f, v); pthread_join(t, 0); printf("hello %d\n", c); return 5; }
X
gcc -O2 -Wall -pthread a.c -o a && ./a x
echo $?
gcc -static -pthread a.c -o as && ./as
gcc -g -flto a.c -o al -pthread && ./al
gcc -fsanitize=undefined a.c -o au -pthread && ./au
cat >b.cc <<'X'
#include <iostream>
#include <map>
#include <thread>
#include <stdexcept>
int main() { std::map<int,int> m; std::thread t([&] { m[1] = 2; }); t.join(); try { throw std::runtime_error("x"); } catch (std::exception &e) { std::cout << e.what() << m[1] << std::endl; } }
X
g++ -O1 b.cc -o b -pthread && ./b
printf 'all: $(patsubst %%,o%%.o,1 2 3 4 5 6 7 8)\n\tgcc -o prog m.c $^ && ./prog\no%%.o:\n\techo "int f$*(void){return $*;}" > o$*.c; gcc -c o$*.c\n' >Makefile
echo 'int f1(), f8(); int main() { return f1() + f8(); }' >m.c
make -s -j2
echo "make $?"
gcc -shared -fPIC -o libq.so o1.c && ar rcs l.a o1.o o2.o && ar t l.a
nm a | grep -w main
strip a && ./a
file a | cut -d, -f1-3
readelf -h a | grep Type
echo 'int x = ;' >bad.c
gcc bad.c
echo "error $?"
m4 <<<'define(a,b)a'
echo '%%' >l.l && flex l.l && ls lex.yy.c
