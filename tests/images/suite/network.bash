# python's http.server, curl, openssl s_server and s_client, ssh-keygen, socat, netcat, nginx with ab, memcached
cd /tmp
mkdir www && chmod 755 www && echo index >www/index.html && head -c 5000000 /dev/urandom >www/big
python3 -m http.server -d www 8000 >/dev/null 2>&1 &
server=$!
until curl -s -o /dev/null http://127.0.0.1:8000/; do sleep 0.2; done
curl -s http://localhost:8000/big | cmp - www/big && echo big
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8000/nope
seq 20 | xargs -P8 -I{} curl -s http://127.0.0.1:8000/ | sort | uniq -c
kill $server
wait $server
openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=localhost -days 1 2>/dev/null
openssl s_server -accept 4433 -key k.pem -cert c.pem -www >/dev/null 2>&1 &
server=$!
until curl -sk -o /dev/null https://127.0.0.1:4433/; do sleep 0.2; done
echo | openssl s_client -connect 127.0.0.1:4433 2>/dev/null | grep 'Cipher is'
kill $server
openssl speed -seconds 1 -multi 2 sha256 2>/dev/null | grep -c sha256
openssl enc -aes-256-cbc -pbkdf2 -pass pass:a -in www/big | openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:a | cmp - www/big && echo enc
ssh-keygen -q -t ed25519 -N '' -f id && ssh-keygen -lf id.pub | wc -w
socat TCP-LISTEN:5000,reuseaddr,fork EXEC:'tr a-z A-Z' &
server=$!
sleep 1
echo abc | nc -N 127.0.0.1 5000
kill $server
socat UNIX-LISTEN:u.sock,fork EXEC:cat &
server=$!
sleep 1
echo unix | socat -t1 - UNIX:u.sock
kill $server
nc -l 127.0.0.1 5002 >n &
sleep 1
head -c 3000000 www/big | nc -N 127.0.0.1 5002
wait $!
stat -c %s n
cat >nginx.conf <<X
daemon on; pid /tmp/nginx.pid; error_log /tmp/ng.err; worker_processes 2; user www-data; events { worker_connections 256; }
http { access_log off; client_body_temp_path /tmp/cb; server { listen 127.0.0.1:8080; root /tmp/www; } }
X
nginx -p /tmp -c /tmp/nginx.conf
echo "nginx $?"
sleep 1
curl -s http://127.0.0.1:8080/big | cmp - www/big && echo big
ab -q -n 500 -c 20 http://127.0.0.1:8080/ 2>&1 | grep -E 'Complete|Failed'
ab -q -k -n 1000 -c 20 http://127.0.0.1:8080/ 2>&1 | grep -E 'Complete|Failed'
nginx -p /tmp -c /tmp/nginx.conf -s reload 2>/dev/null
sleep 1
curl -s http://127.0.0.1:8080/
ps -e -o user,comm | grep nginx | sort | uniq -c
nginx -p /tmp -c /tmp/nginx.conf -s quit 2>/dev/null
sleep 1
ps -e -o comm | grep -c nginx
memcached -d -u nobody -l 127.0.0.1 -p 11211
sleep 1
printf 'set a 0 0 1\r\nx\r\nget a\r\nquit\r\n' | nc -N 127.0.0.1 11211
pkill memcached
