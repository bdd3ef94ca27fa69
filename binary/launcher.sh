#!/bin/sh
# orchboard @VERSION@ in one file. It unpacks itself once, into a cache directory, and becomes the program there:
# the same process, so that signals, sockets and its parent are as they were.
case $0 in
    /*) ORCHBOARD_PROGRAM=$0 ;;
    *) ORCHBOARD_PROGRAM=$PWD/$0 ;;
esac
export ORCHBOARD_PROGRAM
user=$(id -u)
if [ "$user" = 0 ]; then cache=/var/cache; else cache=${HOME:-}/.cache; fi
# systemd's CacheDirectory=, the user's cache, a directory for temporary files.
first=${CACHE_DIRECTORY:-} second=${XDG_CACHE_HOME:-$cache}/orchboard third=${TMPDIR:-/tmp}/orchboard-$user
first=${first%%:*}

# Both directories must be our own: whoever owns them decides what is run.
for place in "$first" "$second" "$third"; do
    [ -O "$place" ] && [ -O "$place/@NAME@" ] && [ -x "$place/@NAME@/orchboard" ] && exec "$place/@NAME@/orchboard" "$@"
done

unpack() {
    umask 022
    mkdir -p "$1" || return
    if ! [ -O "$1" ]; then echo "it is another user's"; return 1; fi
    # Left by one that was killed.
    find "$1" -maxdepth 1 -name 'new-*' -mmin +60 -exec rm -rf {} +
    new=$(mktemp -d "$1/new-XXXXXX") || return
    tail -c +@OFFSET@ "$ORCHBOARD_PROGRAM" | tar -xz --no-same-owner -C "$new" && chmod 755 "$new" || return
    if ! [ -x "$new/orchboard" ]; then echo "no program may run there: it is mounted noexec"; return 1; fi
    # Another start may have been quicker.
    mv -T "$new" "$1/@NAME@" || [ -O "$1/@NAME@" ] || return
    # Of other versions those that no process runs.
    real=$(cd "$1" && pwd -P)
    for old in "$real/@STEM@"-[0-9]*; do
        [ "$old" = "$real/@NAME@" ] || ls -l /proc/[0-9]*/exe 2>/dev/null | grep -qF " -> $old/" || rm -rf "$old"
    done
}

tried=
for place in "$first" "$second" "$third"; do
    [ -n "$place" ] || continue
    if said=$(trap 'rm -rf "$new"' EXIT; unpack "$place" 2>&1); then exec "$place/@NAME@/orchboard" "$@"; fi
    tried="$tried
    $place: $said"
done
echo "orchboard: can't unpack itself: it needs @MEGABYTES@ MB in a directory that may hold programs. Set XDG_CACHE_HOME to one. Tried:$tried" >&2
exit 3
