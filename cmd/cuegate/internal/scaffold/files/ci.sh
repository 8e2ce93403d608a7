#!/usr/bin/env bash
# Checks this bundle. It needs cue 0.17.1, opa 1.x and cuegate on the PATH, and no
# network. It goes on after a failure, and exits with 1 at the end.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

failed=0
check() {
	printf '+ %s\n' "$*"
	"$@" || failed=1
}

# Where CUE finds a manifest: at its kind, namespace and name.
namespace='[if metadata.namespace != _|_ {metadata.namespace}, "default"][0]'

check cue fmt --check ./...
check cue vet -c=false ./...
check cue vet -c -l kind -l "$namespace" -l metadata.name ./schema manifests/*.yaml
check opa fmt --list --fail policies
check opa check --strict policies
check opa test policies
check cuegate schema sync --check
check cuegate vet .
check cuegate test .
exit "$failed"
