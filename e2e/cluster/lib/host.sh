# shellcheck shell=bash
# What the node changes on the host outside its state folder, and how each of these is undone.

# Debian's and Ubuntu's name of the package, and a file or command that shows that it is there.
packages='containerd:containerd runc:runc containernetworking-plugins:CNI docker-registry:docker-registry
iptables:iptables nftables:nft iproute2:ip openssl:openssl curl:curl ca-certificates:/etc/ssl/certs/ca-certificates.crt
gcc:cc libc6-dev:/usr/include/stdio.h kmod:modprobe'

cni_bin() { if [[ -x /opt/cni/bin/bridge && ! -x /usr/lib/cni/bridge ]]; then echo /opt/cni/bin; else echo /usr/lib/cni; fi; }

# The resolver that CoreDNS and pods forward to. systemd-resolved's own address is not one for pods.
resolv_conf() { if [[ -e /run/systemd/resolve/resolv.conf ]]; then echo /run/systemd/resolve/resolv.conf; else echo /etc/resolv.conf; fi; }

install_packages() {
    local entry missing=()
    for entry in $packages; do
        case ${entry#*:} in
        CNI) [[ -x $(cni_bin)/bridge ]] ;;
        /*) [[ -e ${entry#*:} ]] ;;
        *) has "${entry#*:}" ;;
        esac || missing+=("${entry%%:*}")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    has apt-get || die "please install: ${missing[*]}"
    say "installing packages: ${missing[*]}"
    # Only the programs are wanted: a containerd or registry that starts by itself would take ports and do nothing.
    local policy=/usr/sbin/policy-rc.d log made='' done=''
    log=$(mktemp)
    if [[ ! -e $policy ]]; then
        made=1
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    fi
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 && done=1
    [[ -z $made ]] || rm -f $policy
    if [[ -z $done ]]; then
        tail -n 20 "$log" >&2
        die "installing the packages failed; the whole output is in $log"
    fi
    rm -f "$log"
    for entry in containerd docker-registry; do
        if [[ " ${missing[*]} " == *" $entry "* ]] && has systemctl; then systemctl disable -q "$entry" 2>/dev/null || true; fi
    done
}

# Everything that we, kubelet or kube-proxy set, so that `down` can restore it.
sysctls='net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables net.ipv4.conf.all.route_localnet vm.overcommit_memory
vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes'

sysctl_path() { echo "/proc/sys/${1//.//}"; }

save_host() {
    local key
    [[ ! -f $STATE/host/done ]] || return 0
    mkdir -p "$STATE/host"
    for key in $sysctls; do
        if [[ -r $(sysctl_path "$key") ]]; then echo "$key $(<"$(sysctl_path "$key")")"; fi
    done >"$STATE/host/sysctls"
    nft list tables >"$STATE/host/nft-tables"
    # Folders that components make at fixed places, unless somebody else uses them.
    for key in /var/lib/kubelet /var/lib/cni /var/log/containers /run/containerd /run/netns /var/run/kubernetes /etc/cni; do
        [[ -e $key ]] || echo "$key"
    done >"$STATE/host/absent"
    touch "$STATE/host/done"
}

rules=(
    # Pods reach the world through the host's address. One rule for all, instead of a chain per pod, as flannel and
    # kindnet have it too.
    "nat POSTROUTING -s $POD_CIDR ! -d $POD_CIDR -m comment --comment $NODE -j MASQUERADE"
    # For hosts whose policy is to drop, as Docker's and most firewalls' is.
    "filter INPUT -i $BRIDGE -m comment --comment $NODE -j ACCEPT"
    "filter FORWARD -i $BRIDGE -m comment --comment $NODE -j ACCEPT"
    "filter FORWARD -o $BRIDGE -m comment --comment $NODE -j ACCEPT"
)

rule() { # ACTION RULE
    local words
    read -r -a words <<<"$2"
    iptables -w -t "${words[0]}" "$1" "${words[@]:1}"
}

prepare_network() {
    local module rule
    for module in overlay br_netfilter nf_conntrack; do modprobe -q "$module" 2>/dev/null || true; done
    save_host
    if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
        # A fixed hardware address: otherwise the bridge's changes with its ports, and pods lose their gateway for a moment.
        ip link add "$BRIDGE" address 02:f1:1a:7f:00:01 type bridge
    fi
    ip address replace "$NODE_IP/${POD_CIDR#*/}" brd + dev "$BRIDGE"
    ip link set "$BRIDGE" up
    # So that the host reaches Services even with no network of its own.
    ip route replace "$SERVICE_CIDR" dev "$BRIDGE" src "$NODE_IP"
    echo 1 >/proc/sys/net/ipv4/ip_forward
    [[ ! -e /proc/sys/net/bridge ]] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
    for rule in "${rules[@]}"; do rule -C "$rule" 2>/dev/null || rule -A "$rule"; done
}

# flush_rules COMMAND: takes out the chains of Kubernetes and the jumps to them, and nothing else.
flush_rules() {
    local table
    for table in $("$1-save" 2>/dev/null | sed -n 's/^\*//p'); do
        # Flush each chain, delete the jumps, then the chains: a chain that something refers to can't go.
        "$1-save" -t "$table" | awk -v table="$table" '
            /^:KUBE-/ { chain = substr($1, 2); flush = flush ":" chain " - [0:0]\n"; gone = gone "-X " chain "\n" }
            /^-A / && $2 !~ /^KUBE-/ && / -j KUBE-/ { sub(/^-A/, "-D"); jumps = jumps $0 "\n" }
            END { if (flush != "") printf "*%s\n%s%s%sCOMMIT\n", table, flush, jumps, gone }' |
            { input=$(cat) && [[ -z $input ]] || "$1-restore" -w --noflush <<<"$input"; }
    done
}

restore_network() {
    local rule table
    for rule in "${rules[@]}"; do
        while rule -D "$rule" 2>/dev/null; do :; done
    done
    flush_rules iptables
    flush_rules ip6tables
    # Empty tables that were not there before. iptables made them.
    if [[ -f $STATE/host/nft-tables ]] && has nft; then
        nft list tables | sort | comm -23 - <(sort "$STATE/host/nft-tables") | while read -r _ table; do
            # shellcheck disable=SC2086 # the family and the name, two words
            [[ $(nft list table $table | grep -vE '^table|^\s*chain|type .* hook .* policy accept;|^\s*}|^\s*$') ]] || nft delete table $table
        done
    fi
    ip link delete "$BRIDGE" 2>/dev/null || true
}

restore_host() {
    local key value folder
    if [[ -f $STATE/host/sysctls ]]; then
        while read -r key value; do echo "$value" >"$(sysctl_path "$key")" 2>/dev/null || true; done <"$STATE/host/sysctls"
    fi
    # Links to our pods' logs, and what the components noted about our pods.
    find /var/log/containers -maxdepth 1 -lname "$STATE/*" -delete 2>/dev/null || true
    rm -f "/var/lib/cni/results/$NODE"-* 2>/dev/null || true
    if [[ -f $STATE/host/absent ]]; then
        while read -r folder; do
            # A kubelet of ours alone used this; the others may have come into use, and go only when nothing is in them.
            if [[ $folder == /var/lib/kubelet ]]; then rm -rf /var/lib/kubelet/device-plugins; fi
            [[ ! -d $folder ]] || find "$folder" -xdev -depth -type d -empty -delete
        done <"$STATE/host/absent"
    fi
}
