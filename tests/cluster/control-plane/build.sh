#!/bin/sh
# A control plane of Kubernetes for the tests in tests/cluster: kube-apiserver,
# kube-controller-manager, etcd and kubectl, built from their Go modules (go.mod
# says which) into a cache, where they are not there yet. KUBEBUILDER_ASSETS
# names a folder that has them already.
#
#   build.sh          builds what lacks; without Go, says so
#   build.sh where    the folder that has them; fails where there is none
#
# Of stdout, nothing but that folder; what people read is on stderr.
set -eu
cd "$(dirname "$0")"

say() { echo "$*" >&2; }

# Without it the tests in tests/cluster are skipped, which a pipeline may not do.
cannot() {
	say "no control plane for the cluster tests: $*"
	test "${CI:-}" = true && exit 1
	say "they are skipped"
	exit 0
}

has_all() {
	for name in kube-apiserver kube-controller-manager etcd kubectl; do
		test -x "$1/$name" || { lacks=$name; return 1; }
	done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	# setup-envtest brings all but the controllers.
	has_all "$KUBEBUILDER_ASSETS" || { say "$KUBEBUILDER_ASSETS (KUBEBUILDER_ASSETS) has no $lacks"; exit 1; }
	echo "$KUBEBUILDER_ASSETS"
	exit 0
fi

key=$(cat go.mod go.sum | git hash-object --stdin | cut -c1-16)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/apgit/control-plane/$key"
if has_all "$folder"; then
	echo "$folder"
	exit 0
fi
if [ "${1:-}" = where ]; then
	say "no control plane in $folder: \`make control-plane\` builds it"
	exit 1
fi

# Where Go's own installer puts it, for whoever has not told the shell.
PATH="$PATH:/usr/local/go/bin"
command -v go >/dev/null || cannot "Go is not here (https://go.dev/dl)"
export CGO_ENABLED=0 GOWORK=off
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes) || cannot "Go cannot read go.mod"

mkdir -p "$(dirname "$folder")"
new=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
say "Kubernetes $version is built from its Go modules into $folder: some five minutes, once"
began=$(date +%s)
# What `kubectl` and the API server say of themselves, and read of each other.
in=k8s.io/component-base/version
minor=${version#v1.}
flags="-s -w -X $in.gitVersion=$version -X $in.gitMajor=1 -X $in.gitMinor=${minor%%.*} -X $in.gitTreeState=clean"
go build -trimpath -ldflags "$flags" -o "$new/" tool || cannot "it cannot be built"
mv "$new/server" "$new/etcd"
chmod 755 "$new"
# Whoever builds at the same time may have come first; theirs is as good.
has_all "$folder" || { rm -rf "$folder"; mv "$new" "$folder"; }
has_all "$folder" || cannot "the build has no $lacks"
took=$(($(date +%s) - began))
say "built in $((took / 60)) min $((took % 60)) s"
echo "$folder"
