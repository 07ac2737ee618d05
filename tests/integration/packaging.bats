#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The file lists of the packages and what is installed agree: packages of either kind are made from them (scripts/packages.sh).

load common

setup() {
    [ -d "$RUNE_STAGE/usr" ] || skip "nothing in $RUNE_STAGE (make stage)"
    library=$(basename "$(dirname "$(find "$RUNE_STAGE/usr" -path '*/rune/libos.elf')")")
    library=$(dirname "$(cd "$RUNE_STAGE" && find usr -path "*/$library/libos.elf")")
    library=${library%/rune}
}

patterns() { # with their package before them
    local file
    for file in "$repo"/packaging/files/*; do
        sed "s#LIBDIR#$library#; s#^#$(basename "$file") #" "$file"
    done
}

@test "every installed file is in one package, and no package names a file that is not installed" {
    left=0
    while read -r file; do
        owners=$(while read -r package pattern; do
            # shellcheck disable=SC2053 # a pattern
            [[ "$file" != $pattern ]] || echo "$package"
        done < <(patterns))
        [ "$(wc -w <<<"$owners")" -eq 1 ] || { echo "$file is in: ${owners:-no package}"; left=1; }
    done < <(cd "$RUNE_STAGE" && find . -not -type d | sed 's#^\./##')
    while read -r package pattern; do
        (cd "$RUNE_STAGE" && compgen -G "$pattern" >/dev/null) || { echo "$package: nothing installed is $pattern"; left=1; }
    done < <(patterns)
    [ $left -eq 0 ]
}

@test "the packages have the version of the project, and the same packages in both kinds" {
    version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$repo/meson.build")
    grep -q "^rune ($version) " <(head -1 "$repo/packaging/debian/changelog")
    grep -q "^Version: *$version$" "$repo/packaging/rpm/rune.spec"
    grep -q "^## $version" "$repo/CHANGELOG.md"
    for list in "$repo"/packaging/files/*; do
        grep -qx "Package: $(basename "$list")" "$repo/packaging/debian/control"
        grep -q "^%files .*-f packaging/lists/$(basename "$list")$" "$repo/packaging/rpm/rune.spec"
    done
}

@test "the packages' build requirements are those of the project" {
    control=$(sed -n '/^Build-Depends:/,/^[A-Z][a-z]*-[A-Z]/p' "$repo/packaging/debian/control" | tr -d ',')
    for package in $(sed -n '/\[build\]=/,/"$/p' "$repo/scripts/deps.sh" | grep -oE 'lib[a-z0-9-]+-dev|nettle-dev'); do
        [ "$package" = libc6-dev ] || grep -qw -- "$package" <<<"$control" || { echo "$package is missing"; return 1; }
    done
}
