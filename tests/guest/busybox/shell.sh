# The shell itself: expansion, control flow, functions, pipes, subshells, traps, here-documents, jobs, statuses.
set -u
add() { echo $(($1 + $2)); }
echo "sum $(add 40 2) $((7 % 4 * 3 - 1)) $((1 << 10))"
x=path/to/file.tar.gz
echo "${x##*/} ${x%%.*} ${x%.gz} ${#x} ${unset_name:-default} ${x/tar/zip}"
for i in 1 2 3; do
    case $i in
        2) echo "two" ;;
        *) echo "other $i" ;;
    esac
done
i=0
while [ $i -lt 3 ]; do i=$((i + 1)); done
echo "counted to $i"
echo "a b c" | while read -r first rest; do echo "[$first] [$rest]"; done
(cd / && pwd; exit 3)
echo "subshell said $?"
false || echo "false is $?"
sh_pid=$$
$BB sh -c 'kill -TERM $$' ; echo "killed: $?"
$BB sh -c 'trap "echo trapped; exit 9" USR1; kill -USR1 $$; sleep 1' ; echo "trap: $?"
cat_here() { $BB cat; }
cat_here <<END
here $x
END
echo one two three | $BB tr ' ' '\n' | $BB sort -r | $BB head -n 2
{ echo out; echo err >&2; } 2>&1 | $BB sort
$BB sleep 0.1 &
wait $!
echo "job: $?"
echo data > file; echo more >> file; $BB wc -l < file
exec 3< file; read -r line <&3; echo "from fd 3: $line"; exec 3<&-
[ -f file ] && [ ! -d file ] && echo "file is a file"
set -- a 'b c' d
echo "$# $2"
shift; echo "$*"
printf '%s-%03d-%x\n' text 7 255
$BB seq 1 5 | $BB xargs -n 2 echo pair
echo "deep: $(echo $(echo $(echo nested)))"
$BB yes | $BB head -n 1000 | $BB wc -l
$BB no_such_applet 2>/dev/null; echo "unknown applet: $?"
$BB env -i A=1 $BB env
no_such_command_at_all 2>/dev/null; echo "not found: $?"
exit 5
