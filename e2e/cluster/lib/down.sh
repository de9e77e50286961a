# shellcheck shell=bash
# Ending: everything that `up` made goes, whatever state it is in.

components='kubelet proxy coredns scheduler controller-manager apiserver etcd containerd'
components+=" registry-127.0.0.1 registry-$NODE_IP"

# stop_pods ends the pods through containerd, which undoes their networks and mounts; one that died is started for that.
stop_pods() {
    [[ -d $STATE/containerd/state ]] || return 0
    start_containerd
    local deadline=$((SECONDS + 15))
    until ctr version >/dev/null 2>&1 || ((SECONDS > deadline)); do sleep 0.1; done
    "$node_binary" stop-pods "unix://$RUNTIME" || say "some pods did not stop in order; ending their processes"
}

# strays: what is left of pods whose containerd could not end them: shims, by the socket they were given, and
# containers, by a root that lies in our state folder.
strays() {
    local file pid
    for file in $(grep -laF "$RUNTIME" /proc/[0-9]*/cmdline 2>/dev/null); do
        pid=${file//[!0-9]/}
        [[ $(readlink "/proc/$pid/exe") != */containerd-shim* ]] || echo "$pid"
    done
    for file in $(grep -lE " / / .*upperdir=$STATE/" /proc/[0-9]*/mountinfo 2>/dev/null); do echo "${file//[!0-9]/}"; done
}

end_strays() {
    local deadline=$((SECONDS + 10)) left
    while left=$(strays) && [[ $left ]] && ((SECONDS < deadline)); do
        # shellcheck disable=SC2086 # one word per process
        kill -9 $left 2>/dev/null || true
        sleep 0.1
    done
}

unmount_all() {
    local path
    # The deepest first.
    awk -v state="$STATE/" 'index($2, state) == 1 { print $2 }' /proc/mounts | sort -r | while read -r path; do
        umount "$path" 2>/dev/null || umount -l "$path" || true
    done
}

# The network namespaces of pods that containerd could not end. CNI's notes say which are ours.
remove_namespaces() {
    local note name
    for note in "/var/lib/cni/results/$NODE"-*; do
        [[ -f $note ]] || continue
        name=$(grep -oE '/netns/cni-[0-9a-f-]+' "$note" | head -n 1)
        [[ -z $name ]] || ip netns delete "${name#/netns/}" 2>/dev/null || true
    done
}

remove_cgroups() {
    local root
    for root in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
        # Another kubelet's pods would be in the same place.
        if [[ -d $root && -z $(find "$root" -name cgroup.procs -exec cat {} + 2>/dev/null) ]]; then
            find "$root" -depth -type d -exec rmdir {} + 2>/dev/null || true
        fi
    done
}

down() { # [--all]
    if [[ ! -d $STATE/run ]]; then
        say "is not running"
    else
        node_program
        # First who would start pods again.
        stop kubelet scheduler controller-manager
        stop_pods
        # The API server ends at once only while etcd still answers.
        stop proxy coredns apiserver
        # shellcheck disable=SC2086 # one word per component
        stop $components
        end_strays
        unmount_all
        remove_namespaces
        restore_network
        remove_cgroups
        restore_host
        find "$STATE" -mindepth 1 -maxdepth 1 ! -name registry -exec rm -rf --one-file-system {} +
        say "stopped"
    fi
    if [[ ${1:-} == --all ]]; then
        rm -rf --one-file-system "$STATE"
    elif [[ -d $STATE/registry ]]; then
        say "the registry's images stay in $STATE/registry (down --all removes them)"
    fi
}
