# dpkg and apt without a network, users, su, daemons by start-stop-daemon
cd /tmp
dpkg -l | wc -l
dpkg -V coreutils
mkdir -p p/DEBIAN p/usr/bin
printf 'Package: tt\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: t\n' >p/DEBIAN/control
printf '#!/bin/sh\necho postinst $1\n' >p/DEBIAN/postinst
printf '#!/bin/sh\necho tt runs\n' >p/usr/bin/tt
chmod 755 p/DEBIAN/postinst p/usr/bin/tt
dpkg-deb --root-owner-group -b p tt.deb
dpkg -i tt.deb
tt
dpkg -L tt
dpkg -P tt
apt-cache policy bash | head -3
apt-get -y remove lua5.4 2>&1 | tail -2
useradd -m bob && id bob && su bob -c 'id -un; cd; pwd'
echo 'bob:x' | chpasswd
userdel -r bob 2>/dev/null
runuser -u nobody id
setpriv --reuid=1000 --clear-groups id -u
ldconfig && ldconfig -p | wc -l
getent hosts localhost
start-stop-daemon --start --background --make-pidfile --pidfile /tmp/pid --exec /bin/sleep 100
sleep 0.5
start-stop-daemon --stop --pidfile /tmp/pid
echo $?
