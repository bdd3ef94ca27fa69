#!/bin/sh
# orchboard @VERSION@ in one file. It unpacks itself once into a cache directory and executes the program there, in the
# same process, so that signals, sockets and the parent process do not change.

# Print the path of the unpacked program. Runs in a subshell, so that no variable of the caller changes.
find_program() {
    user=$(id -u)
    if [ "$user" = 0 ]; then cache=/var/cache; else cache=${HOME:-}/.cache; fi
    service=${CACHE_DIRECTORY:-} own=${XDG_CACHE_HOME:-$cache}/orchboard temporary=${TMPDIR:-/tmp}/orchboard-$user
    service=${service%%:*} # set by systemd
    # Both directories must belong to this user, because their owner decides which program runs.
    for place in "$service" "$own" "$temporary"; do
        if [ -O "$place" ] && [ -O "$place/@NAME@" ] && [ -x "$place/@NAME@/orchboard" ]; then
            echo "$place/@NAME@/orchboard"
            return
        fi
    done
    tried=
    for place in "$service" "$own" "$temporary"; do
        [ -n "$place" ] || continue
        if said=$(unpack "$place" 2>&1); then
            echo "$place/@NAME@/orchboard"
            return
        fi
        tried="$tried
    $place: $said"
    done
    echo "orchboard: can't unpack itself. Set XDG_CACHE_HOME to a directory with room for @MEGABYTES@ MB, on a file system that may hold programs. Tried:$tried" >&2
    return 3
}

unpack() {
    umask 022
    mkdir -p "$1" || return
    if ! [ -O "$1" ]; then
        echo "it belongs to another user"
        return 1
    fi
    # Remove leftovers of killed starts.
    find "$1" -maxdepth 1 -name 'new-*' -mmin +60 -exec rm -rf {} +
    new=$(mktemp -d "$1/new-XXXXXX") || return
    trap 'rm -rf "$new"' EXIT
    tail -c +@OFFSET@ "$ORCHBOARD_PROGRAM" | tar -xz --no-same-owner -C "$new" && chmod 755 "$new" || return
    if ! [ -x "$new/orchboard" ]; then
        echo "programs may not run there: it is mounted noexec"
        return 1
    fi
    # Fails if another start was faster.
    mv -T "$new" "$1/@NAME@" || [ -O "$1/@NAME@" ] || return
    # Remove other versions that no process runs. Compared by name: a service may see the directory at another path.
    for old in "$1/@STEM@"-[0-9]*; do
        [ "$old" = "$1/@NAME@" ] || ls -l /proc/[0-9]*/exe 2>/dev/null | grep -qF "/${old##*/}/" || rm -rf "$old"
    done
}

case $0 in
    /*) ORCHBOARD_PROGRAM=$0 ;;
    *) ORCHBOARD_PROGRAM=$PWD/$0 ;;
esac
export ORCHBOARD_PROGRAM
ORCHBOARD_UNPACKED=$(find_program) || exit
exec "$ORCHBOARD_UNPACKED" "$@"
