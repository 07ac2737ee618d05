# SPDX-License-Identifier: Apache-2.0
# An ordinary user for a suite, as the rootless.sh of runc's source makes one, but only for the calling process: the user is
# in copies of the files of /etc that are mounted over them in a mount namespace of its own.
#
# The features are rootless.sh's: "idmap" gives the user subordinate ids and the helpers newuidmap and newgidmap, "cgroup"
# a cgroup of each hierarchy in which it may make others.

user_name=rootless user_id=1042 user_cgroup=runc-cgroups-integration-test

# own_mounts "$0" "$@": run the script again in a mount namespace of its own, unless it is in one
own_mounts() {
    [ -n "${RUNE_OWN_MOUNTS:-}" ] || RUNE_OWN_MOUNTS=1 exec unshare --mount --propagation private "$@"
}

# make_user HOME FEATURES: sets what the tests ask for in the environment
make_user() {
    local home=$1 features=$2 etc=$1.etc file
    mkdir -p "$home" "$etc"
    chown "$user_id:$user_id" "$home"
    touch /etc/subuid /etc/subgid
    for file in passwd group subuid subgid; do
        grep -v "^$user_name:" "/etc/$file" >"$etc/$file" || true
    done
    echo "$user_name:x:$user_id:$user_id::$home:/bin/bash" >>"$etc/passwd"
    echo "$user_name:x:$user_id:" >>"$etc/group"
    export ROOTLESS_FEATURES=$features
    if [[ $features == *idmap* ]]; then
        export ROOTLESS_UIDMAP_START=100000 ROOTLESS_UIDMAP_LENGTH=65536
        export ROOTLESS_GIDMAP_START=200000 ROOTLESS_GIDMAP_LENGTH=65536
        echo "$user_name:$ROOTLESS_UIDMAP_START:$ROOTLESS_UIDMAP_LENGTH" >>"$etc/subuid"
        echo "$user_name:$ROOTLESS_GIDMAP_START:$ROOTLESS_GIDMAP_LENGTH" >>"$etc/subgid"
        # A directory of a user of the container; 1000 is where the container's further ids begin.
        export AUX_UID=1024 AUX_DIR=$home.aux
        mkdir -p "$AUX_DIR"
        chmod 700 "$AUX_DIR"
        chown "$((ROOTLESS_UIDMAP_START - 1000 + AUX_UID))" "$AUX_DIR"
    else
        : >"$etc/none"
        for file in newuidmap newgidmap; do
            [ ! -e "/usr/bin/$file" ] || mount --bind "$etc/none" "/usr/bin/$file"
        done
    fi
    for file in passwd group subuid subgid; do
        mount --bind "$etc/$file" "/etc/$file"
    done
    [[ $features != *cgroup* ]] || make_user_cgroups
}

# Write access to the directory and to what moves processes, through the group; cpuset and the real-time files need more.
make_user_cgroups() {
    local name dir
    for name in $(cut -d: -f2 /proc/self/cgroup | sed 's/^name=//' | tr ',' '\n'); do
        dir=/sys/fs/cgroup/$name/$user_cgroup
        [ -d "/sys/fs/cgroup/$name" ] || continue
        mkdir -p "$dir"
        chown "root:$user_id" "$dir" "$dir/cgroup.procs" "$dir/tasks"
        chmod g+rwx "$dir" "$dir/cgroup.procs" "$dir/tasks"
        case $name in
        cpuset) chown "$user_id:$user_id" "$dir/cpuset.cpus" "$dir/cpuset.mems" ;;
        cpu) find "$dir" -maxdepth 1 -name 'cpu.rt_*_us' -exec chown "$user_id:$user_id" {} + ;;
        esac
    done
}

remove_user_cgroups() {
    find /sys/fs/cgroup -mindepth 2 -maxdepth 3 -depth -type d -path "*/$user_cgroup*" -exec rmdir {} + 2>/dev/null || true
}

# as_user COMMAND...
as_user() {
    HOME=$(getent passwd "$user_id" | cut -d: -f6) setpriv --reuid "$user_id" --regid "$user_id" --clear-groups "$@"
}
