#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-format (dry run), the ban list, shellcheck, cppcheck and clang-tidy over the tree. Exit 1 on any finding.
#   lint.sh BUILD [FILE...]      only these C files, when any are given
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
scripts/deps.sh lint || exit 1
build=$1
shift
status=0
jobs=$(nproc)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

c_files() { # PATTERN...: the named ones of the files that were asked for
    if [ ${#only[@]} -gt 0 ]; then
        git ls-files "$@" | grep -Fx "$(printf '%s\n' "${only[@]}")" || [ $? -eq 1 ]
    else
        git ls-files "$@"
    fi
}
only=("$@")

finding() { # WHAT
    echo "$1: see above" >&2
    status=1
}

c_files '*.c' '*.h' | xargs -r clang-format --dry-run -Werror || finding clang-format
c_files '*.c' '*.h' '*.S' | xargs -r awk 'length > 100 {print FILENAME ":" FNR ": longer than 100"; found = 1} END {exit found}' ||
    finding "line length"

# What docs/style.md decides and a line, an #include or a symbol shows.
scripts/style.py "$build" "${only[@]}" || finding "style (docs/style.md)"

# Trusted code reaches host memory by hostmem.h alone: nothing else makes a pointer into an area that could be dereferenced.
if git grep -nE '(struct|volatile) boundary_area \*' -- 'libos/*.[ch]' ||
    git grep -nE '\((const |volatile )*(void|char|u8|u16|u32|u64|struct boundary_[a-z_]+) \*\) ?\(?(area|hostmem_at|tcb\(\)->area|g_host_ops|boot->)' \
        -- 'libos/*.[ch]' ':!libos/host/include/hostmem.h'; then
    finding "host memory"
fi

# The rooms of the LibOS take names from lower floors only; headers of higher ones they do not even find.
python3 scripts/libos-floors.py "$build" >"$work/floors" || { cat "$work/floors"; finding "a name that points up (docs/design/floors.md)"; }

# Scripts; tests/images/programs and suite are what shells are tried with, not examples to follow.
git ls-files '*.sh' '*.bash' '*.bats' .ci/run | grep -vE '^tests/images/(programs|suite)/' | xargs shellcheck --severity=warning || finding shellcheck

# Documents name files in backticks: by their path from the top, or the file's name alone.
missing_files() {
    local document name
    for document in $(git ls-files '*.md'); do
        for name in $(grep -oE '`[[:alnum:]_./*{},-]+`' "$document" | tr -d '`' | sort -u); do
            case $name in
            */*) [[ $name =~ ^(abi|docs|include|libos|runtimes|scripts|src|tests)/ ]] || continue ;;
            *.[chS] | *.sh | *.py | *.bats | *.bash | *.md) name="**/$name" ;;
            *) continue ;;
            esac
            # The characters above are all there is: only braces and wildcards are expanded.
            eval "ls -d $name" >/dev/null 2>&1 || echo "$document: there is no $name"
        done
        for name in $(grep -oE '\]\([^)#]+' "$document" | cut -c3- | grep -v '^[a-z]*:'); do
            [ -e "$(dirname "$document")/$name" ] || echo "$document: the link to $name leads nowhere"
        done
    done
}
shopt -s globstar
missing_files >"$work/missing"
[ ! -s "$work/missing" ] || { cat "$work/missing"; finding documents; }

# The newest commit: CONTRIBUTING.md says how its message looks.
if message=$(git log -1 --no-merges --format=%B 2>/dev/null) && [ -n "$message" ]; then
    subject=${message%%$'\n'*}
    [ ${#subject} -le 72 ] && [[ $subject =~ ^[a-z0-9,./\ -]+:\ [a-z] ]] && [ "$(wc -l <<<"$message")" -gt 2 ] ||
        { echo "\"$subject\": not of the form \"room: what\" in 72 columns, with a body that says why" && finding "commit message"; }
fi

# What cppcheck cannot see: owners by cleanup attributes (memleak is the sanitizers' business), what a callee fills (ctu*), and that
# symbols of the linker bound one array (comparePointers), and registers for assembly (constStatement); nor __VA_OPT__, by which the
# tables of calls are read. It knows loops by these definitions.
cat >"$work/loops.h" <<'END'
#define json_array_foreach(a, i, v) for (i = 0; (v = json_array_get(a, i)); i++)
#define json_object_foreach(o, k, v) \
    for (k = json_object_iter_key(json_object_iter(o)); (v = json_object_get(o, k)); k = next(k))
#define list_for_each_entry(p, head, member) for (p = first(head); p; p = next(p))
#define list_for_each_entry_safe(p, n, head, member) for (p = first(head); p; p = n)
END
c_files '*.c' | grep -v '^tests/images/' >"$work/c"
cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -j "$jobs" --include="$work/loops.h" \
    --suppress={missingInclude,normalCheckLevelMaxBranches,memleak,ctuuninitvar,ctunullpointer,comparePointers,constStatement,syntaxError:libos/calls/table_*.h} \
    -Iabi -Iinclude -Isrc -Ilibos/{calls,lib/include,host/include,heap/include,thread/include,vfs/include} --file-list="$work/c" || finding cppcheck

# clang-tidy (.clang-tidy has the checks): what meson compiles for the product, each file once (tests compile many again, and clang-tidy
# reads a file as often as it is compiled), without an option that only gcc knows. In libos/ the analyzer stays out: it takes every
# function of another file for one that may return a positive value or leave a result unset.
python3 - "$build/compile_commands.json" "$work/compile_commands.json" <<'END'
import json, re, sys
once = {}
for entry in json.load(open(sys.argv[1])):
    if entry["output"].startswith(("src/", "libos/", "runtimes/")):
        entry["command"] = re.sub(r" -fno-tree-loop-distribute-patterns|( --param[= ][^ ]*|) -fasan-shadow-offset=[^ ]*", "", entry["command"])
        once.setdefault(entry["file"], entry)
json.dump(list(once.values()), open(sys.argv[2], "w"))
END
tidy() { # CHECKS PATTERN...
    local checks=$1
    shift
    c_files "$@" | xargs -r -P "$jobs" -n 2 clang-tidy --quiet --checks="$checks" --extra-arg=-Wno-error -p "$work" \
        2>"$work/errors" || { grep -v 'warnings generated' "$work/errors"; finding clang-tidy; }
}
tidy '' 'src/*.c' 'runtimes/*.c'
tidy '-clang-analyzer-*' 'libos/*.c'
exit $status
