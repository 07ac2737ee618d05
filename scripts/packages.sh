#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build the packages of this tree into DIR: Debian's (deb), RPM's (rpm), or a signed repository of those that are there.
#   packages.sh DIR deb|rpm|repository...
# The same file lists (packaging/files) say what is in which package of either kind.
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(realpath "$1")
shift
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$repo/meson.build")
jobs=${JOBS:-$(nproc)}
# Files of a release have its date.
SOURCE_DATE_EPOCH=$(date -d "$(sed -n 's/^ -- .*>  //p' "$repo/packaging/debian/changelog" | head -1)" +%s)
export SOURCE_DATE_EPOCH

source_tree() { # DIR: what git knows, as it is here
    rm -rf "$1"
    mkdir -p "$1"
    (cd "$repo" && git ls-files -z | tar --null --files-from=- -cf -) | tar -C "$1" -xf -
}

lists() { # LIBDIR OUT [PREFIX]
    local file
    mkdir -p "$2"
    for file in "$repo"/packaging/files/*; do
        sed "s#LIBDIR#usr/$1#; s#^#${3:-}#" "$file" >"$2/$(basename "$file")"
    done
}

build_deb() {
    local tree=$out/deb-build/rune-$version file
    rm -rf "$out/deb-build"
    source_tree "$tree"
    cp -r "$tree/packaging/debian" "$tree/debian"
    lists "lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)" "$tree/lists"
    for file in "$tree"/lists/*; do
        mv "$file" "$tree/debian/$(basename "$file").install"
    done
    rmdir "$tree/lists"
    (cd "$tree" && dpkg-buildpackage --build=binary --no-sign --jobs="$jobs") >"$out/deb.log" 2>&1 || { tail -30 "$out/deb.log"; return 1; }
    mv "$out"/deb-build/*.deb "$out"/deb-build/*.changes "$out"/deb-build/*.buildinfo "$out/"
    rm -rf "$out/deb-build"
}

build_rpm() {
    local top=$out/rpm-build
    rm -rf "$top"
    mkdir -p "$top/SOURCES"
    source_tree "$top/rune-$version"
    lists lib64 "$top/rune-$version/packaging/lists" /
    sed -i 's#^/etc#%config(noreplace) /etc#' "$top/rune-$version"/packaging/lists/*
    tar -C "$top" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 -cf "$top/SOURCES/rune-$version.tar" "rune-$version"
    rm -rf "$top/rune-$version"
    # The names of build requirements are Fedora's.
    local nodeps=()
    [ ! -e /etc/debian_version ] || nodeps=(--nodeps)
    rpmbuild -bb "${nodeps[@]}" --define "_topdir $top" --define "_lib lib64" --define "_smp_mflags -j$jobs" --define "use_source_date_epoch_as_buildtime 1" \
        --define "clamp_mtime_to_source_date_epoch 1" --define "_buildhost localhost" "$repo/packaging/rpm/rune.spec" >"$out/rpm.log" 2>&1 || { tail -30 "$out/rpm.log"; return 1; }
    find "$top/RPMS" -name '*.rpm' -exec mv {} "$out/" \;
    rm -rf "$top"
}

# Signed by the key that RUNE_REPOSITORY_KEY names, or by one that is made for it.
build_repository() {
    local home=$out/gnupg key=${RUNE_REPOSITORY_KEY:-}
    if [ -z "$key" ]; then
        [ -d "$home" ] || mkdir -m 700 "$home"
        export GNUPGHOME=$home
        key=rune-repository
        gpg --list-secret-keys "$key" >/dev/null 2>&1 ||
            gpg --quiet --batch --passphrase '' --quick-generate-key "$key" rsa3072 sign never
    fi
    rm -rf "$out/apt" "$out/dnf"
    mkdir -p "$out/apt/conf"
    gpg --armor --export "$key" >"$out/rune-repository.asc"
    local fingerprint
    fingerprint=$(gpg --with-colons --list-keys "$key" | awk -F: '/^fpr/ {print $10; exit}')
    printf '%s\n' 'Codename: stable' 'Components: main' 'Architectures: amd64' "SignWith: $fingerprint" >"$out/apt/conf/distributions"
    reprepro --silent -b "$out/apt" includedeb stable "$out"/*.deb
    rm -rf "$out/apt/conf" "$out/apt/db"
    if compgen -G "$out/*.rpm" >/dev/null; then
        mkdir -p "$out/dnf"
        cp "$out"/*.rpm "$out/dnf/"
        createrepo_c --quiet --revision "$version" "$out/dnf"
        gpg --batch --yes --armor --detach-sign --local-user "$key" "$out/dnf/repodata/repomd.xml"
    fi
    [ -z "${GNUPGHOME:-}" ] || gpgconf --kill all
}

for what in "$@"; do
    case $what in
    deb | rpm | repository) "build_$what" ;;
    *) echo "packages.sh: $what is none of deb, rpm, repository" >&2; exit 2 ;;
    esac
done
