#!/bin/bash
# cross-setup.sh DEST [1.96|1.85]: unpacks Debian's rustc-web and the std of other ARM targets into DEST/rust, from the
# mirror that this machine's apt already uses; touches neither dpkg nor apt state, and needs no foreign architecture.
set -euo pipefail
DEST=$(realpath -m "${1:?usage: cross-setup.sh DEST [1.96|1.85]}"); WANT=${2:-1.96}
HERE=$(cd "$(dirname "$0")" && pwd)
base() { apt-get indextargets --format '$(RELEASE)|$(REPO_URI)' 'Created-By: Packages' | awk -F'|' -v r="$1" '$1==r{print $2; exit}'; }
MAIN=$(base bookworm) SEC=$(base bookworm-security)
get() { # get LOCKFILE: download and check every line "repo sha256 path"
    while read -r repo sum path; do
        case $repo in main) u=$MAIN;; sec) u=$SEC;; *) continue;; esac
        f=$DEST/deb/${path##*/}
        [ -f "$f" ] && echo "$sum  $f" | sha256sum -c --status && continue
        curl -fsSL --retry 3 -o "$f" "${u%/}/$path" && echo "$sum  $f" | sha256sum -c --status || return 1
    done < "$1"
}
mkdir -p "$DEST/deb"
get "$HERE/rust-$WANT.lock" || { [ "$WANT" != 1.85 ] && echo "rust $WANT is gone from the mirror: using 1.85" >&2 && WANT=1.85 && get "$HERE/rust-1.85.lock"; }
rm -rf "$DEST/rust" "$DEST/tmp"; mkdir -p "$DEST/tmp"
grep -v '^#' "$HERE/rust-$WANT.lock" | while read -r _ _ path; do echo "$DEST/deb/${path##*/}"; done | xargs -P2 -I{} dpkg -x {} "$DEST/tmp"
# the shared objects go to lib/, which rustup puts into LD_LIBRARY_PATH for a toolchain given by path
mv "$DEST"/tmp/usr/lib/x86_64-linux-gnu/* "$DEST/tmp/usr/lib/"; rmdir "$DEST/tmp/usr/lib/x86_64-linux-gnu"
mv "$DEST/tmp/usr" "$DEST/rust"; rm -rf "$DEST/tmp"
if [ -d "$DEST/rust/lib/rustlib/src" ]; then ln -sfn ../../../src/$(ls "$DEST/rust/src") "$DEST/rust/lib/rustlib/src/rust"; fi
"$DEST/rust/bin/rustc" -V 2>/dev/null || LD_LIBRARY_PATH="$DEST/rust/lib" "$DEST/rust/bin/rustc" -V
