# shellcheck shell=bash
# Starting: each component with its arguments and the question that tells that it answers.

probe() { curl -fsk -m 2 "$@"; }
ctr() { command ctr -a "$RUNTIME" -n k8s.io "$@"; }
kubectl() { "$node_binary" kubectl --kubeconfig "$STATE/kubeconfig" --cache-dir "$STATE/kubectl-cache" "$@"; }

prepare_state() {
    mkdir -p "$STATE"/{run,log,cni/conf,containerd/registries,registry}
    chmod 700 "$STATE"
    local boot file host
    boot=$(</proc/sys/kernel/random/boot_id)
    if [[ -f $STATE/boot && $(<"$STATE/boot") != "$boot" ]]; then
        say "the machine was restarted: clearing what belonged to its last run"
        # Notes of processes, pods' addresses and the host's settings that are no more. What the API server knows stays.
        rm -rf "$STATE"/{run,host,cni/leases,containerd/state,containerd/runc}
        mkdir -p "$STATE/run"
    fi
    echo "$boot" >"$STATE/boot"
    make_certificates
    for file in containerd.toml cni.conflist kubelet.yaml proxy.yaml Corefile dns.yaml audit.yaml; do
        rendered $file | write "$STATE/$file"
    done
    ln -sf ../../cni.conflist "$STATE/cni/conf/10-flint.conflist"
    for host in 127.0.0.1 "$NODE_IP"; do
        rendered registry.yaml | sed "s|@ADDRESS@|$host:$REGISTRY_PORT|" | write "$STATE/registry-$host.yaml"
        mkdir -p "$STATE/containerd/registries/$host:$REGISTRY_PORT"
        echo "[host.\"http://$host:$REGISTRY_PORT\"]" | write "$STATE/containerd/registries/$host:$REGISTRY_PORT/hosts.toml"
    done
}

start_etcd() {
    # A test cluster may lose its last second in a power cut, so nothing waits for the disk. Only the API server, which
    # root runs too, can open the sockets; the advertised address is a name that etcd insists on and nobody calls.
    start etcd -- "$node_binary" etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "unix://$STATE/run/etcd.sock" --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls "unix://$STATE/run/etcd-peer.sock"
}

start_containerd() {
    start containerd "$STATE/containerd.toml" -- containerd --config "$STATE/containerd.toml"
}

start_registry() {
    local host
    # Two listeners on one storage: this machine's, and one for pods. Both names work for kubelet. On every address it would
    # be open to the network.
    for host in 127.0.0.1 "$NODE_IP"; do
        start "registry-$host" "$STATE/registry-$host.yaml" -- docker-registry serve "$STATE/registry-$host.yaml"
    done
}

start_apiserver() {
    # In flight: as many as the benchmarks ask for at once. Kubernetes' own limit on a small node would be measured otherwise.
    start apiserver "$STATE/audit.yaml" -- "$node_binary" apiserver \
        --etcd-servers "unix://$STATE/run/etcd.sock" \
        --advertise-address "$NODE_IP" --secure-port 6443 --service-cluster-ip-range "$SERVICE_CIDR" \
        --cert-dir "$STATE/apiserver" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
        --client-ca-file "$pki/ca.crt" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$pki/service-accounts.pub" --service-account-signing-key-file "$pki/service-accounts.key" \
        --kubelet-client-certificate "$pki/apiserver-kubelet.crt" --kubelet-client-key "$pki/apiserver-kubelet.key" \
        --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
        --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy \
        --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key" \
        --allow-privileged --max-requests-inflight 3000 --max-mutating-requests-inflight 1500 \
        --audit-policy-file "$STATE/audit.yaml" --audit-log-path "$STATE/log/audit.log" --audit-log-mode batch \
        --audit-log-maxsize 64 --audit-log-maxbackup 2
}

start_controllers() {
    # No leader election: there is only one of each, and a lease of a killed one would have to run out first.
    start controller-manager -- "$node_binary" controller-manager --kubeconfig "$STATE/kubeconfigs/controller-manager" \
        --bind-address 127.0.0.1 --cert-dir "$STATE/controller-manager" --leader-elect=false \
        --flex-volume-plugin-dir "$STATE/kubelet/volume-plugins" \
        --service-account-private-key-file "$pki/service-accounts.key" \
        --root-ca-file "$pki/ca.crt" --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key"
    start scheduler -- "$node_binary" scheduler --kubeconfig "$STATE/kubeconfigs/scheduler" \
        --authentication-kubeconfig "$STATE/kubeconfigs/scheduler" --authorization-kubeconfig "$STATE/kubeconfigs/scheduler" \
        --bind-address 127.0.0.1 --cert-dir "$STATE/scheduler" --leader-elect=false
}

start_node() {
    start kubelet "$STATE/kubelet.yaml" -- "$node_binary" kubelet --config "$STATE/kubelet.yaml" \
        --kubeconfig "$STATE/kubeconfigs/kubelet" --root-dir "$STATE/kubelet" --cert-dir "$STATE/kubelet/pki" \
        --hostname-override "$NODE" --node-ip "$NODE_IP"
    start proxy "$STATE/proxy.yaml" -- "$node_binary" proxy --config "$STATE/proxy.yaml"
    start coredns "$STATE/Corefile" "$(resolv_conf)" -- "$node_binary" coredns -conf "$STATE/Corefile"
}

import_pause() {
    [[ $(ctr images list -q "name==$PAUSE_IMAGE") ]] || ctr images import "$pause_archive" >/dev/null
}

node_ready() { [[ $(kubectl get node "$NODE" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}') == True ]]; }

# usable: whether a pod in the default namespace would start now.
usable() {
    [[ $(kubectl get node "$NODE" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}{.spec.taints}') == True ]] &&
        kubectl get serviceaccount default -n default
}

apply_dns() {
    cmp -s "$STATE/dns.yaml" "$STATE/dns-applied.yaml" || kubectl apply -f "$STATE/dns.yaml" >/dev/null
    cp "$STATE/dns.yaml" "$STATE/dns-applied.yaml"
}

dns_answers() { "$node_binary" resolve kubernetes.default.svc.cluster.local. "$DNS_IP:53"; }

up() {
    install_packages
    node_program
    pause_image
    SECONDS=0
    prepare_state
    prepare_network
    start_etcd
    start_containerd
    start_registry
    start_apiserver
    await containerd 20 ctr version
    import_pause
    await apiserver 60 probe https://127.0.0.1:6443/readyz
    start_node
    apply_dns
    # After the node: the controllers look at nodes every 5 seconds, and one that they see unready first stays tainted
    # until the next look.
    await kubelet 30 node_ready
    start_controllers
    await registry-127.0.0.1 10 probe "http://127.0.0.1:$REGISTRY_PORT/v2/"
    await "registry-$NODE_IP" 10 probe "http://$NODE_IP:$REGISTRY_PORT/v2/"
    await controller-manager 20 probe https://127.0.0.1:10257/healthz
    await scheduler 20 probe https://127.0.0.1:10259/healthz
    await kubelet 30 probe http://127.0.0.1:10248/healthz
    await proxy 20 probe http://127.0.0.1:10256/livez
    await controller-manager 60 usable
    await coredns 30 dns_answers
}
