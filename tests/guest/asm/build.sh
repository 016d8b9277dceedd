#!/bin/sh
# Builds the freestanding guests: build.sh OUT_DIRECTORY. Leaves OUT_DIRECTORY/{i386,x86_64}/NAME.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
flags="-nostdlib -static -no-pie -s -Wl,-z,noseparate-code -Wl,-z,max-page-size=4096 -Wl,--build-id=none -Wl,-z,noexecstack"
mkdir -p "$1/i386" "$1/x86_64"
for source in "$here"/*.S; do
    name=$(basename "$source" .S)
    "${CC_X86_64:-x86_64-linux-gnu-gcc}" $flags -o "$1/x86_64/$name" "$source"
    "${CC_I386:-i686-linux-gnu-gcc}" $flags -o "$1/i386/$name" "$source"
done
