# shellcheck shell=bash
# What is built from source, into a cache outside the checkout: the node program, the pause image, helm.

helm_version=v3.22.0

go_build() {
    has go || die "building needs Go (https://go.dev/dl), which is not on PATH"
    # One build at a time, so that two callers don't do the same work twice. -p 2 leaves a small machine usable.
    mkdir -p "$CACHE"
    (flock 8 && CGO_ENABLED=0 nice go "$1" -p 2 -trimpath "${@:2}") 8>"$CACHE/build.lock"
}

# node_program: sets node_binary, the path of flint-node, which is built when its sources have changed.
node_program() {
    local sources=$cluster_dir/node hash kubernetes minor version=k8s.io/component-base/version
    hash=$(cat "$sources"/*.go "$sources/go.mod" "$sources/go.sum" | sha256sum)
    node_binary=$CACHE/node/flint-node-${hash:0:16}
    [[ ! -x $node_binary ]] || return 0
    kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$sources/go.mod")
    minor=${kubernetes#v1.}
    say "building Kubernetes $kubernetes (once; about 4 minutes on 2 cores, seconds with a warm Go cache)"
    mkdir -p "$CACHE/node"
    # Clients compare versions, so the program must know its own.
    (cd "$sources" && go_build build -o "$node_binary.new.$$" -ldflags "-s -w -X $version.gitVersion=$kubernetes \
        -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*} -X $version.gitTreeState=clean" .)
    mv "$node_binary.new.$$" "$node_binary"
    # Builds of other branches stay for a month.
    find "$CACHE/node" -name 'flint-node-*' ! -path "$node_binary" -mtime +30 -delete
    say "built $(du -h "$node_binary" | cut -f1) in $SECONDS s"
}

# pause_image: sets pause_archive, an image archive for containerd.
pause_image() {
    local hash build
    hash=$(cat "$cluster_dir/pause/pause.c" "$cluster_dir/image" | sha256sum)
    pause_archive=$CACHE/node/pause-${hash:0:16}.tar
    [[ ! -f $pause_archive ]] || return 0
    build=$(mktemp -d)
    mkdir -p "$build/root" "$CACHE/node"
    cc -Os -static -s -o "$build/root/pause" "$cluster_dir/pause/pause.c"
    "$cluster_dir/image" archive "$build/root" "$PAUSE_IMAGE" /pause >"$build/pause.tar"
    mv "$build/pause.tar" "$pause_archive"
    rm -rf "$build"
}

# tool NAME: prints the path of kubectl or helm: the one on PATH, or else one of ours.
tool() {
    case $1 in
    kubectl)
        command -v kubectl && return
        node_program
        mkdir -p "$CACHE/bin"
        printf '#!/bin/sh\nexec "%s" kubectl "$@"\n' "$node_binary" | write "$CACHE/bin/kubectl"
        chmod +x "$CACHE/bin/kubectl"
        ;;
    helm)
        command -v helm && return
        if [[ ! -x $CACHE/bin/helm ]]; then
            say "building helm $helm_version (once; about 80 s on 2 cores)"
            GOBIN=$CACHE/bin go_build install -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$helm_version" \
                "helm.sh/helm/v3/cmd/helm@$helm_version" >&2
        fi
        ;;
    *) die "no such tool: $1 (there are kubectl and helm)" ;;
    esac
    echo "$CACHE/bin/$1"
}
