# shellcheck shell=bash
# The cluster's certificates and the kubeconfig files made of them. Made once per state folder.

pki=$STATE/pki

# authority NAME: a certificate authority of its own.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$1" \
        -keyout "$pki/$1.key" -out "$pki/$1.crt" 2>/dev/null
}

# certificate NAME SUBJECT [USE [ALTERNATIVE NAMES [AUTHORITY]]]
certificate() {
    local name=$1 subject=$2 use=${3:-clientAuth} names=${4:-} by=${5:-ca}
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "$subject" \
        -CA "$pki/$by.crt" -CAkey "$pki/$by.key" -keyout "$pki/$name.key" -out "$pki/$name.crt" \
        -addext basicConstraints=critical,CA:FALSE -addext "extendedKeyUsage=$use" \
        ${names:+-addext "subjectAltName=$names"} 2>/dev/null
}

# kubeconfig NAME FILE: how the holder of this certificate reaches the API server. Everything is inside the file.
kubeconfig() {
    cat >"$2" <<YAML
apiVersion: v1
kind: Config
current-context: flint
contexts: [{name: flint, context: {cluster: flint, user: $1}}]
clusters:
  - name: flint
    cluster:
      server: https://127.0.0.1:6443
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$pki/$1.crt")
      client-key-data: $(base64 -w0 "$pki/$1.key")
YAML
}

make_certificates() {
    [[ ! -f $pki/done ]] || return 0
    rm -rf "$pki"
    mkdir -p "$pki" "$STATE/kubeconfigs"
    authority ca &
    authority front-proxy-ca &
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$pki/service-accounts.key" 2>/dev/null
    openssl pkey -in "$pki/service-accounts.key" -pubout -out "$pki/service-accounts.pub"
    wait
    certificate apiserver /CN=kube-apiserver serverAuth "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$API_IP,IP:$NODE_IP"
    certificate kubelet-serving "/O=system:nodes/CN=system:node:$NODE" serverAuth "DNS:$NODE,IP:$NODE_IP"
    certificate front-proxy /CN=front-proxy clientAuth '' front-proxy-ca
    certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
    certificate admin /O=system:masters/CN=admin
    # All rights, so that its controllers can share one identity: fetching a token for each of 40 takes 4 seconds of a start.
    certificate controller-manager /O=system:masters/CN=system:kube-controller-manager
    certificate scheduler /CN=system:kube-scheduler
    certificate proxy /CN=system:kube-proxy
    certificate coredns /CN=system:coredns
    certificate kubelet "/O=system:nodes/CN=system:node:$NODE"
    local name
    for name in controller-manager scheduler proxy coredns kubelet; do kubeconfig "$name" "$STATE/kubeconfigs/$name"; done
    kubeconfig admin "$STATE/kubeconfig"
    touch "$pki/done"
}
