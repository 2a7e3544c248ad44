#!/bin/sh
# The base and its components, from the chart, which is their one source.
#
#   render.sh FOLDER    writes them there; `make generate` does so here
#
# A test keeps what is here equal to the chart.
set -eu
to=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
helm=$(sh tests/cluster/chart-tools/build.sh)/helm

render() {
	file=$1
	shift
	mkdir -p "$(dirname "$to/$file")"
	{
		echo "# Rendered from deploy/chart by deploy/kustomize/render.sh. Do not edit."
		# The name is replaced where it is used: see kustomization.yaml.
		"$helm" template apgit-operator deploy/chart --namespace apgit-system --kube-version 1.36.0 \
			--set image.repository=apgit "$@"
	} >"$to/$file"
}

render base/definitions.yaml --show-only templates/crds.yaml
render base/operator.yaml --set crds.install=false
render components/monitoring/monitoring.yaml --show-only templates/monitoring.yaml \
	--set monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.dashboard.enabled=true
