# vim and htop inside tmux: keys in, the screen out.
set -e
scratch=$(mktemp -d) && cd "$scratch"
export TMUX_TMPDIR=$scratch TERM=xterm
trap 'tmux kill-server 2> /dev/null; rm -rf "$scratch"' EXIT
tmux -f /dev/null new-session -d -s s -x 80 -y 24 "bash --norc"
await() { for i in $(seq 300); do tmux capture-pane -p -t s | grep -q "$1" && return 0; sleep 0.1; done; echo "never saw $1"; tmux capture-pane -p -t s; exit 1; }
tmux send-keys -t s 'echo $((6 * 7))-ready' Enter && await 42-ready
printf 'one\ntwo\nthree\nfour\n' > text
tmux send-keys -t s 'vim -u NONE text' Enter && await 'three'
tmux send-keys -t s -l ':%s/o/0/g' && tmux send-keys -t s Enter && await 'f0ur'
tmux send-keys -t s -l 'ggOfirst line' && tmux send-keys -t s Escape
tmux send-keys -t s -l 'Gyyp:wq' && tmux send-keys -t s Enter
for i in $(seq 100); do grep -q first text && break; sleep 0.1; done
cat text
tmux send-keys -t s 'clear; htop -d 5' Enter && await 'F10'
tmux capture-pane -p -t s | grep -o -E 'PID USER|F1Help|Load average|Tasks:' | sort
tmux send-keys -t s q && sleep 0.5
tmux send-keys -t s 'clear; stty size; tput cols' Enter && await '^80'
tmux resize-window -t s -x 100 -y 30 && tmux send-keys -t s 'clear; stty size' Enter && await '30 100'
tmux split-window -t s -h 'sleep 60' && tmux list-panes -t s | wc -l
tmux send-keys -t s.0 'sleep 100' Enter && sleep 0.5 && tmux send-keys -t s.0 C-c && tmux send-keys -t s.0 's=$?; clear; echo status $s' Enter
for i in $(seq 100); do tmux capture-pane -p -t s.0 | grep '^status 130' && break; sleep 0.1; done
