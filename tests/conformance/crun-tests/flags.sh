#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# crun's tests call every runtime with flags that are crun's own: --cgroup-manager MANAGER before the command, --config FILE
# after it, and `delete --regex`. This turns them into runc's and runs RUNE_UNDER_TEST.
config='' pattern='' root=''
set -- "$@" --end-of-flags
while [ "$1" != --end-of-flags ]; do
    case $1 in
    --cgroup-manager)
        [ "$2" != systemd ] || set -- "$@" --systemd-cgroup
        shift
        ;;
    --config)
        config=$2
        shift
        ;;
    --regex)
        pattern=$2
        shift
        ;;
    --root)
        root=$2
        set -- "$@" "$1" "$2"
        shift
        ;;
    *) set -- "$@" "$1" ;;
    esac
    shift
done
shift
case $config in
'' | config.json) ;;
*) echo "flags.sh: --config $config: only in the bundle" >&2; exit 125 ;;
esac
if [ -n "$pattern" ]; then
    "$RUNE_UNDER_TEST" --root "$root" list --quiet | grep -e "$pattern" | xargs -r -n 1 "$RUNE_UNDER_TEST" "$@"
    exit
fi
exec "$RUNE_UNDER_TEST" "$@"
