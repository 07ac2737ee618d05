#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everyday programs over the image and over files of their own; writes below the directory given.
set -eu
top=$1/tools-check
mkdir "$top"
cd "$top"
cp -a /etc/apt apt
cp /usr/share/common-licenses/Apache-2.0 license
ls -A apt
cat license license | wc
mkdir -p a/b/c
mv license a/b/license
grep -c copyright a/b/license
sed -n 's/TERMS AND CONDITIONS/&!/p' a/b/license
sort -u a/b/license | head -n 4
find . -type f -name 'lic*' -o -type d -empty | sort
tar -czf all.tar.gz a apt
rm -r a apt
tar -xzf all.tar.gz
sha256sum a/b/license
ln -s a/b/license link
ln a/b/license hard
stat -c '%n %s %h %F %a' link hard a/b/license
chmod 640 hard
touch -d '2020-02-03 04:05:06 UTC' hard
stat -c '%a %Y' hard
dd if=/dev/zero of=zeros bs=1M count=3 status=none
truncate -s 5000000 zeros
cksum <zeros
rm -rf "$top"
! ls "$top" 2>/dev/null
cut -d: -f1 /etc/passwd | head -n 3
id -u
uname -s
