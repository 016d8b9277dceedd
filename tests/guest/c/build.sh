#!/bin/sh
# Builds the C guests: build.sh OUT_DIRECTORY. Leaves OUT_DIRECTORY/{i386,x86_64}-{O0,O2}/NAME, static.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for level in O0 O2; do
    for abi in i386 x86_64; do
        case $abi in
            i386) cc=${CC_I386:-i686-linux-gnu-gcc} ;;
            x86_64) cc=${CC_X86_64:-x86_64-linux-gnu-gcc} ;;
        esac
        out=$1/$abi-$level
        mkdir -p "$out"
        for source in "$here"/*.c; do
            program=$out/$(basename "$source" .c)
            # Up to date already: newer than its source and the headers.
            if [ "$program" -nt "$source" ] && [ "$program" -nt "$here/check.h" ] && [ "$program" -nt "$here/tables.h" ]; then continue; fi
            # -frounding-math: the programs change rounding modes. -w: they do what compilers warn about.
            case $abi-$(basename "$source") in
                i386-avx* | i386-exceptions*) sse=-msse2 ;;
                *) sse= ;;
            esac
            "$cc" "-$level" $sse -frounding-math -w -static -pthread -o "$program" "$source" -lm
        done
    done
done
