# shellcheck shell=bash
# What every part needs: where things are, what is said, and the processes that we start and end.

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${FLINT_CACHE:-${HOME:-/root}/.cache/flint}
STATE=${FLINT_STATE:-/var/lib/flint-node}

NODE=flint-node
BRIDGE=flint0
POD_CIDR=10.244.0.0/16
NODE_IP=10.244.0.1 # the bridge's own address: there on every machine, the same whatever network it is in
SERVICE_CIDR=10.96.0.0/16
API_IP=10.96.0.1
DNS_IP=10.96.0.10
DNS_PORT=1053 # not 53, which a resolver of the host may hold on every address
REGISTRY_PORT=5000
PAUSE_IMAGE=flint.local/pause:1
RUNTIME=$STATE/containerd/containerd.sock

# Some login shells leave these out, and the network's tools live there.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { printf '%s\n' "cluster: $*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null; }

# rendered FILE: a file of config/ with the names above filled in.
rendered() {
    sed -e "s|@STATE@|$STATE|g" -e "s|@NODE@|$NODE|g" -e "s|@BRIDGE@|$BRIDGE|g" -e "s|@POD_CIDR@|$POD_CIDR|g" \
        -e "s|@NODE_IP@|$NODE_IP|g" -e "s|@DNS_IP@|$DNS_IP|g" -e "s|@DNS_PORT@|$DNS_PORT|g" \
        -e "s|@REGISTRY_PORT@|$REGISTRY_PORT|g" -e "s|@PAUSE_IMAGE@|$PAUSE_IMAGE|g" \
        -e "s|@CNI_BIN@|$(cni_bin)|g" -e "s|@RESOLV_CONF@|$(resolv_conf)|g" "$cluster_dir/config/$1"
}

# write FILE: standard input becomes the file, which is touched only when that changes it.
write() {
    local text
    text=$(cat)
    [[ -f $1 && $(<"$1") == "$text" ]] || printf '%s\n' "$text" >"$1"
}

# start_time PID: when the process began, in ticks since boot; nothing if there is no such process.
start_time() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The name, in parentheses, may hold blanks; what follows it doesn't.
    read -r -a stat <<<"${stat##*) }"
    echo "${stat[19]}"
}

# ours PID START: whether the process is one that we started. A pid alone proves nothing: after a crash or a reboot
# it may be anybody's. So its start time must be the noted one, and its command line must name our state folder.
ours() {
    [[ -n $1 && $(start_time "$1") == "$2" ]] && tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$STATE"
}

# alive NAME: whether the process started under this name runs. Sets pid, started and print.
alive() {
    pid='' started='' print=''
    { read -r pid started print <"$STATE/run/$1"; } 2>/dev/null || return 1
    ours "$pid" "$started"
}

# start NAME [FILE...] -- COMMAND...: starts the command unless it runs already. One that runs with other arguments,
# or whose FILEs have changed since, is started anew.
start() {
    local name=$1 files=() pid started print wanted
    shift
    while [[ $1 != -- ]]; do files+=("$1"); shift; done
    shift
    wanted=$({ printf '%s\0' "$@"; [[ ${#files[@]} -eq 0 ]] || cat "${files[@]}"; } | sha256sum)
    wanted=${wanted%% *}
    if alive "$name"; then
        [[ $print != "$wanted" ]] || return 0
        say "$name: its configuration changed, restarting it"
        stop "$name"
    elif [[ -f $STATE/run/$name ]]; then
        say "$name: it had died, starting it again"
    fi
    # A session of its own, so that nothing sent to our terminal reaches it; descriptor 9 is our lock.
    setsid "$@" </dev/null >>"$STATE/log/$name.log" 2>&1 9>&- &
    echo "$! $(start_time $!) $wanted" >"$STATE/run/$name"
}

# stop NAME...: ends these processes, all at once, and returns when they are gone.
stop() {
    local name pid started print deadline=$((SECONDS + 8))
    for name; do
        if alive "$name"; then kill "$pid" 2>/dev/null || true; fi
    done
    for name; do
        while alive "$name"; do
            if ((SECONDS >= deadline)); then kill -9 "$pid" 2>/dev/null || true; fi
            sleep 0.05
        done
        rm -f "$STATE/run/$name"
    done
}

# await NAME SECONDS COMMAND...: waits until the command succeeds. Gives up at once if the process NAME has died.
await() {
    local name=$1 deadline=$((SECONDS + $2)) pid started print
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ! alive "$name" || ((SECONDS >= deadline)); then
            tail -n 15 "$STATE/log/$name.log" >&2 || true
            die "$name does not answer ($*); above is the end of $STATE/log/$name.log"
        fi
        sleep 0.1
    done
}
