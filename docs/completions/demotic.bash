# Written by `cargo xtask manual` from the tables in crates/options.
_demotic_roots() {
    demotic root list 2> /dev/null | sed -n 's/^\([^ ]*\) .*\(i386\|amd64\) .*/\1/p'
}
_demotic() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} i=1 first second=
    case $prev in
        --engine) COMPREPLY=($(compgen -W "jit eager interp" -- "$cur")); return ;;
        --keep) COMPREPLY=($(compgen -W "off" -- "$cur")); return ;;
        --arch) COMPREPLY=($(compgen -W "i386 x86-64 amd64" -- "$cur")); return ;;
        --persistent) COMPREPLY=($(compgen -W "systemd debian none" -- "$cur")); return ;;
        --with) COMPREPLY=($(compgen -W "mmdebstrap debootstrap" -- "$cur")); return ;;
    esac
    # The first word that is no option of Demotic's nor the value of one.
    while [ $i -lt $COMP_CWORD ]; do
        case ${COMP_WORDS[i]} in
        --argv0|--env|--unset-env|--root|--log-file|--engine|--cpu|--keep|--uname|--stack|--gdb|--launcher|-E|-U|-L) i=$((i + 2)) ;;
        -*) i=$((i + 1)) ;;
        *) break ;;
        esac
    done
    if [ $i -ge $COMP_CWORD ]; then
        case $cur in
        -*) COMPREPLY=($(compgen -W "--argv0 -E --env -U --unset-env -L --root --strace --log --log-file --engine --fast-sse --cpu --keep --uname --stack -g --gdb --launcher -h --help -V --version" -- "$cur")) ;;
        *) COMPREPLY=($(compgen -W "binfmt cache config doctor root shell" -c -- "$cur") $(compgen -f -- "$cur")) ;;
        esac
        return
    fi
    first=${COMP_WORDS[i]}
    if [ $((i + 1)) -lt $COMP_CWORD ]; then second=${COMP_WORDS[i + 1]}; fi
    case "$first $second" in
        "binfmt ") COMPREPLY=($(compgen -W "install remove status" -- "$cur")) ;;
        "cache ") COMPREPLY=($(compgen -W "clear" -- "$cur")) ;;
        "root ") COMPREPLY=($(compgen -W "create import list path remove" -- "$cur")) ;;
        "binfmt install") COMPREPLY=($(compgen -W "--arch --flags --persistent --interpreter --override --force --dry-run --json" -- "$cur")) ;;
        "binfmt remove") COMPREPLY=($(compgen -W "--arch --persistent --dry-run --json" -- "$cur")) ;;
        "binfmt status") COMPREPLY=($(compgen -W "--json" -- "$cur")) ;;
        "cache clear") COMPREPLY=($(compgen -W "" -- "$cur")) ;;
        "config "*) COMPREPLY=($(compgen -W "" -- "$cur")) ;;
        "doctor "*) COMPREPLY=($(compgen -W "--json" -- "$cur")) ;;
        "root create") COMPREPLY=($(compgen -W "--debian --arch --mirror --include --with" -- "$cur")) ;;
        "root import") COMPREPLY=($(compgen -W "--name --arch" -- "$cur")); COMPREPLY+=($(compgen -f -- "$cur")) ;;
        "root list") COMPREPLY=($(compgen -W "--json" -- "$cur")) ;;
        "root path") COMPREPLY=($(compgen -W " $(_demotic_roots)" -- "$cur")) ;;
        "root remove") COMPREPLY=($(compgen -W " $(_demotic_roots)" -- "$cur")) ;;
        "shell "*) COMPREPLY=($(compgen -W "--no-home --no-binfmt --bind $(_demotic_roots)" -- "$cur")) ;;
        *) COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}
complete -F _demotic demotic demotic-manage
