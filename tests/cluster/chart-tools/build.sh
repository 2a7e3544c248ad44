#!/bin/sh
# What the tests of deploy/ run: helm, and the Lua that Argo CD judges health with
# (glua), built from their Go modules (go.mod says which) into a cache, where they
# are not there yet.
#
#   build.sh          builds what lacks; without Go, says so
#   build.sh where    the folder that has them; fails where there is none
#
# Of stdout, nothing but that folder; what people read is on stderr.
set -eu
cd "$(dirname "$0")"

say() { echo "$*" >&2; }

# Without them the tests of deploy/ are skipped, which a pipeline may not do.
cannot() {
	say "no tools for the tests of deploy/: $*"
	test "${CI:-}" = true && exit 1
	say "they are skipped"
	exit 0
}

has_all() { test -x "$1/helm" && test -x "$1/glua"; }

key=$(cat go.mod go.sum | git hash-object --stdin | cut -c1-16)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/apgit/chart-tools/$key"
if has_all "$folder"; then
	echo "$folder"
	exit 0
fi
if [ "${1:-}" = where ]; then
	say "no tools in $folder: \`make control-plane\` builds them"
	exit 1
fi

# Where Go's own installer puts it, for whoever has not told the shell.
PATH="$PATH:/usr/local/go/bin"
command -v go >/dev/null || cannot "Go is not here (https://go.dev/dl)"
export CGO_ENABLED=0 GOWORK=off

mkdir -p "$(dirname "$folder")"
new=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
say "helm is built from its Go module into $folder: some three minutes, once"
go build -trimpath -ldflags "-s -w" -o "$new/" tool || cannot "it cannot be built"
chmod 755 "$new"
# Whoever builds at the same time may have come first; theirs is as good.
has_all "$folder" || { rm -rf "$folder"; mv "$new" "$folder"; }
echo "$folder"
