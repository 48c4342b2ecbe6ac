#!/usr/bin/env bash
# grafana-foundation-sdk (Grafana's own builders of dashboards for Python; pip 24.0): whoever asks for the builders of
# Grafana 11 or newer is given those of Grafana 10.1, the oldest that there are. Releases are numbered
# BUILD_TIME!GRAFANA, as an epoch, and an epoch counts before the version does (PEP 440): of the eleven built in one
# night the one for 10.1 was built last, so that it is "the newest", and ">=11" holds of it, as of every other.
# "==11.*" matches none of some 200 releases, and "<11" takes the line for the newest Grafana, 0.0.x, which has no epoch.
# Fails when that is no longer so. Needs python3 with venv, and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "pip==24.0"

given() {
  { venv/bin/pip install --dry-run --no-deps --disable-pip-version-check "grafana-foundation-sdk$1" 2>&1 || true; } |
    sed -n 's/^Would install grafana.foundation.sdk-v\{0,1\}//p; s/^ERROR: No matching distribution.*/none/p'
}
newest=$(given ">=11")
eleven=$(given "==11.*")
below=$(given "<11")
echo "grafana-foundation-sdk: >=11 gives $newest, ==11.* gives $eleven, <11 gives $below"

venv/bin/pip install --quiet --no-deps --disable-pip-version-check "grafana-foundation-sdk==1769699998!10.1.0"
venv/bin/python - <<'PYTHON'
from importlib.metadata import version
print("installed by its whole name:", version("grafana-foundation-sdk"))
PYTHON
case $newest in
  *!10.1.0) ;;
  *) echo "changed: >=11 is not given the builders of 10.1 any more"; exit 1 ;;
esac
[ "$eleven" = none ] || { echo "changed: ==11.* matches"; exit 1; }
case $below in
  0.0.*) ;;
  *) echo "changed: <11 gives something else"; exit 1 ;;
esac
