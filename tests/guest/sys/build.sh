#!/bin/sh
# Builds the system call cases: build.sh OUT_DIRECTORY. Leaves OUT_DIRECTORY/{i386,x86_64}/FAMILY, static.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for abi in i386 x86_64; do
    case $abi in
        i386) cc=${CC_I386:-i686-linux-gnu-gcc} ;;
        x86_64) cc=${CC_X86_64:-x86_64-linux-gnu-gcc} ;;
    esac
    mkdir -p "$1/$abi"
    for source in "$here"/*.c; do
        program=$1/$abi/$(basename "$source" .c)
        if [ "$program" -nt "$source" ] && [ "$program" -nt "$here/sys.h" ]; then continue; fi
        # -w: they hand the kernel what compilers warn about.
        "$cc" -O1 -w -static -pthread -o "$program" "$source"
    done
done
