#!/bin/sh
# A linker driver that makes rustc's static ARM programs position-independent: rustc asks for `-static` (non-PIE, at the very
# addresses that guest programs want), this turns it into `-static-pie`. The compiler is named by DEMOTIC_CC.
set -eu
arguments=
for argument in "$@"; do
    case $argument in
        -no-pie) continue ;;
        -static) argument=-static-pie ;;
    esac
    # Quoted for the eval below: paths may contain anything.
    arguments="$arguments '$(printf '%s' "$argument" | sed "s/'/'\\\\''/g")'"
done
eval "exec \"\$DEMOTIC_CC\" $arguments"
