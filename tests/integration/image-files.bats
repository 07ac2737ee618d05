#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# rune-image convert takes images as files: the same MRENCLAVE whatever the form, and no name leads out of the target.

setup_file() {
    WORK=$(mktemp -d)
    export WORK VICTIM=$WORK/victim
    export MAKE="$BATS_TEST_DIRNAME/make-image.py"
    mkdir "$VICTIM"
    echo precious >"$VICTIM/file"
    chmod 755 "$VICTIM"
    "$MAKE" tree good "$WORK/tree"
    sgx-tools keygen "$WORK/key.pem"
    identity --image-only "$WORK/tree" >"$WORK/expected"
}

teardown_file() {
    rm -rf "$WORK"
}

convert() { # OPTIONS... IMAGE
    rune-image convert --quiet --cache "$BATS_TEST_TMPDIR/cache" --key "$WORK/key.pem" "$@"
}

identity() { # OPTIONS... IMAGE: the root hash, or with an enclave MRENCLAVE as well, from a fresh cache
    rune-image convert --quiet --cache "$(mktemp -d -p "$WORK")" --key "$WORK/key.pem" "$@" | grep -E '^(root hash|MRENCLAVE) '
}

victim_is_unharmed() {
    [ "$(ls "$VICTIM")" = file ]
    [ "$(cat "$VICTIM/file")" = precious ]
    [ "$(stat -c %a "$VICTIM")" = 755 ]
    [ "$(stat -c %h "$VICTIM/file")" = 1 ]
}


@test "convert: layout, docker-archive and directory are one image" {
    "$MAKE" layout good "$WORK/plain"
    "$MAKE" layout.gz good "$WORK/gz"
    "$MAKE" docker good "$WORK/docker.tar"
    "$MAKE" docker.gz good "$WORK/docker-gz.tar"
    "$MAKE" docker-legacy good "$WORK/legacy.tar"
    gzip -c "$WORK/docker.tar" >"$WORK/docker.tar.gz"
    tar -C "$WORK/gz" -cf "$WORK/oci.tar" .
    identity "$WORK/tree" >"$WORK/enclave"
    [ "$(wc -l <"$WORK/enclave")" -eq 2 ]
    identity "$WORK/plain" | diff "$WORK/enclave" -
    for image in gz docker.tar docker-gz.tar legacy.tar docker.tar.gz oci.tar; do
        echo "$image"
        identity --image-only "$WORK/$image" | diff "$WORK/expected" -
    done
}

@test "convert: layers compressed by zstd" {
    command -v zstd >/dev/null || skip "zstd is not installed"
    "$MAKE" layout.zst good "$WORK/zst"
    identity --image-only "$WORK/zst" | diff "$WORK/expected" -
}

@test "convert: images that skopeo writes" {
    command -v skopeo >/dev/null || skip "skopeo is not installed"
    "$MAKE" layout.gz good "$WORK/sk"
    skopeo copy --quiet --insecure-policy "oci:$WORK/sk:v1" "docker-archive:$WORK/sk.tar:app:v1"
    skopeo copy --quiet --insecure-policy "oci:$WORK/sk:v1" "oci-archive:$WORK/sk-oci.tar:v1"
    identity --image-only "$WORK/sk.tar" | diff "$WORK/expected" -
    identity --image-only "$WORK/sk-oci.tar" | diff "$WORK/expected" -
}

@test "convert: the second time nothing is unpacked, whatever the form" {
    "$MAKE" layout good "$WORK/once"
    "$MAKE" docker.gz good "$WORK/once.tar"
    convert --image-only "$WORK/once" | grep -q '^image .*/image$'
    convert --image-only "$WORK/once.tar" | grep -q '^image .*(cached)$'
    [ "$(find "$BATS_TEST_TMPDIR/cache" -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]
    [ -z "$(find "$BATS_TEST_TMPDIR/cache" -name root)" ]
}

@test "convert: names that lead upwards, and what is no file, are refused" {
    for case in dotdot dotdot_hardlink whiteout_up deep loop link_loop hardlink_out hardlink_through_symlink; do
        echo "$case"
        "$MAKE" layout "$case" "$WORK/$case"
        run convert --image-only "$WORK/$case"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == *"layer "* ]]
        victim_is_unharmed
        [ -z "$(ls "$BATS_TEST_TMPDIR/cache")" ]
    done
}

@test "convert: links of a layer lead nowhere but into the image" {
    for case in symlink_out symlink_up file_over_symlink whiteout_out opaque_out chmod_out; do
        echo "$case"
        "$MAKE" layout "$case" "$WORK/$case"
        run convert --image-only "$WORK/$case"
        [ "$status" -eq 0 ]
        victim_is_unharmed
    done
}

@test "convert: an image for which a limit is too small, and one that fits" {
    "$MAKE" layout.gz big "$WORK/big"
    "$MAKE" layout many "$WORK/many"
    run convert --image-only --max-size 2M "$WORK/big"
    [ "$status" -eq 1 ]
    [[ $output == *"--max-size"* ]]
    run convert --image-only --max-files 49 "$WORK/many"
    [ "$status" -eq 1 ]
    [[ $output == *"--max-files"* ]]
    [ -z "$(ls "$BATS_TEST_TMPDIR/cache")" ]
    convert --image-only --max-size 4M "$WORK/big"
    convert --image-only --max-files 50 "$WORK/many"
}

@test "convert: a changed byte of any blob is noticed" {
    for compression in "" .gz; do
        rm -rf "$WORK/fresh" "$WORK/changed"
        "$MAKE" "layout$compression" good "$WORK/fresh"
        for blob in "$WORK"/fresh/blobs/sha256/*; do
            cp -r "$WORK/fresh" "$WORK/changed"
            python3 - "$WORK/changed/blobs/sha256/${blob##*/}" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open(sys.argv[1], "wb").write(data)
PY
            run convert --image-only "$WORK/changed"
            [ "$status" -eq 1 ]
            [ "${#lines[@]}" -eq 1 ]
            rm -rf "$WORK/changed"
        done
    done
    [ -z "$(ls "$BATS_TEST_TMPDIR/cache")" ]
}

@test "convert: a blob that is cut off or missing, and files that are no images" {
    "$MAKE" layout good "$WORK/cut"
    largest=$(find "$WORK/cut/blobs/sha256" -type f -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
    truncate -s -2048 "$largest"
    run convert --image-only "$WORK/cut"
    [ "$status" -eq 1 ]
    rm "$largest"
    run convert --image-only "$WORK/cut"
    [ "$status" -eq 1 ]
    [[ $output == *"${largest##*/}"* ]]
    head -c 3000 /dev/urandom >"$WORK/noise"
    : >"$WORK/nothing"
    tar -C "$WORK/tree" -cf "$WORK/root.tar" etc
    for file in noise nothing root.tar key.pem; do
        run convert --image-only "$WORK/$file"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        echo "$output"
        [[ $output == *"is not an image"* ]]
    done
}

@test "convert: one of several images by name, and a list where none is named" {
    "$MAKE" layout good "$WORK/two" v1
    "$MAKE" layout other "$WORK/two" v2
    run convert --image-only "$WORK/two"
    [ "$status" -eq 1 ]
    [[ $output == *"--image: v1, v2"* ]]
    identity --image-only --image v1 "$WORK/two" | diff "$WORK/expected" -
    run convert --image-only --image v2 "$WORK/two"
    [ "$status" -eq 0 ]
    run convert --image-only --image v3 "$WORK/two"
    [ "$status" -eq 1 ]
    [[ $output == *"no image for linux/amd64 called v3"* ]]
    run convert --image-only --image v1 "$WORK/tree"
    [ "$status" -eq 1 ]
}

@test "convert: the umask, the locale and the time of day change nothing" {
    "$MAKE" layout good "$WORK/again"
    (umask 077 && LC_ALL=C TZ=Pacific/Auckland identity --image-only "$WORK/again") | diff "$WORK/expected" -
}

@test "convert: who may not set owners is told what to do" {
    "$MAKE" layout good "$WORK/user"
    chmod -R a+rX "$WORK"
    mkdir -m 777 "$WORK/user-cache"
    run setpriv --reuid 65534 --regid 65534 --clear-groups "$(command -v rune-image)" convert --quiet --image-only \
        --cache "$WORK/user-cache" --key "$WORK/user-cache/k" "$WORK/user"
    [ "$status" -eq 1 ]
    [[ $output == *"unshare --map-root-user --map-auto"* ]]
}
