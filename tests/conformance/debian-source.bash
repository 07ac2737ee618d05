# SPDX-License-Identifier: Apache-2.0
# Sources of other projects for the conformance tests: fetched from Debian, never in the tree.

# fetch_source WORK PACKAGE: the upstream source of Debian's package PACKAGE, unmodified, in WORK/PACKAGE.
# NO_DEPS=1: what is not there is not fetched, and the tests are skipped.
fetch_source() {
    local work=$1 package=$2 file
    [ -d "$work/$package" ] && return
    if [ -n "${NO_DEPS:-}" ]; then
        echo "the source of Debian's package $package is not in $work, and NO_DEPS is set"
        echo "0 passed, 0 failed, 1 skipped"
        exit 0
    fi
    local conf=$work/apt.conf
    mkdir -p "$work/apt/parts" "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/source"
    # Our own lists: the machine's configuration need not have source packages enabled.
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        [ -s "$file" ] || continue
        case $file in
        *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/apt/parts/src.sources" ;;
        *) sed -n 's/^deb \(.*debian.*\)/deb-src \1/p' "$file" >"$work/apt/parts/src.list" ;;
        esac
    done
    cat >"$conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/apt/parts";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
CONF
    [ -n "$(find "$work/apt/lists" -name '*_source_Sources*' -print -quit)" ] || APT_CONFIG=$conf apt-get update -qq
    (cd "$work/source" && APT_CONFIG=$conf apt-get source -qq --download-only "$package")
    rm -rf "$work/$package.part"
    mkdir "$work/$package.part"
    file=$(find "$work/source" -name "${package}_*.orig.tar.*" ! -name '*.asc')
    tar -C "$work/$package.part" --strip-components=1 -xf "$file"
    mv "$work/$package.part" "$work/$package"
}
