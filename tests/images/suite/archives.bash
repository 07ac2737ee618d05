# tar with each compression, cpio, zip, sparse files, rsync, threads of xz and zstd
cd /tmp
for z in '' z j J; do
    tar "c${z}f" a.tar -C / etc
    mkdir x && tar "x${z}f" a.tar -C x && diff -r --no-dereference /etc x/etc && echo "tar $z"
    rm -r x a.tar
done
tar --sort=name --mtime=@0 -cf - -C / etc | sha256sum
(cd / && find etc | sort | cpio -o --quiet) | (mkdir c && cd c && cpio -id --quiet && diff -r --no-dereference etc /etc && echo cpio)
zip -qyr z.zip c && unzip -qt z.zip | wc -l && unzip -q z.zip -d u && diff -r --no-dereference c u/c && echo zip
truncate -s 10M sparse && echo x >>sparse && tar cSf s.tar sparse && mkdir o && tar xf s.tar -C o && cmp sparse o/sparse && echo sparse
head -c 3000000 /dev/urandom >r
for tool in 'xz -T2 -1' 'zstd -T2 -q' gzip bzip2; do
    $tool -k -c r >r.packed && $tool -dc <r.packed | cmp - r && echo "$tool"
done
rsync -a /etc/ rs/ && diff -r --no-dereference /etc rs && rsync -avn --delete /etc/ rs/ | wc -l
setfattr -n user.a -v b r && getfattr -d r && touch -d 2001-02-03T04:05:06Z r && cp -a r r2 && getfattr -d r2 && stat -c '%Y %a' r2
