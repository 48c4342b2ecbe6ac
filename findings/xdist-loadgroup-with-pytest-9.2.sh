#!/usr/bin/env bash
# pytest-xdist 3.8.0 with pytest 9.2.0: --dist loadgroup silently does not group. Tests that carry one xdist_group
# run on several workers, without a warning, so that what they share (a site, a port, a database) is raised by
# each. With pytest 9.1.1 the same tests run on one worker. xdist writes the group into Item._nodeid, and since
# 9.2 pytest makes a test's id from elsewhere.
# Fails when that is no longer so. Needs python3 with venv, and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >test_shared.py <<'PYTHON'
import time

import pytest

@pytest.mark.xdist_group("shared")
@pytest.mark.parametrize("number", range(8))
def test_one(number, worker_id):
    time.sleep(0.2)
    with open("workers", "a") as file:
        print(worker_id, file=file)
PYTHON

workers() {
  python3 -m venv "venv-$1"
  "venv-$1/bin/pip" install --quiet --disable-pip-version-check "pytest==$1" "pytest-xdist==3.8.0"
  rm -f workers
  "venv-$1/bin/pytest" -q -n 2 --dist loadgroup -p no:cacheprovider >&2
  sort -u workers | tr '\n' ' '
}

before=$(workers 9.1.1)
after=$(workers 9.2.0)
echo "pytest-xdist 3.8.0, 8 tests of one xdist_group, -n 2 --dist loadgroup"
echo "pytest 9.1.1: run by $before"
echo "pytest 9.2.0: run by $after"
[ "$(wc -w <<<"$before")" = 1 ] || { echo "changed: 9.1.1 does not group either"; exit 1; }
[ "$(wc -w <<<"$after")" = 2 ] || { echo "changed: 9.2.0 groups"; exit 1; }
