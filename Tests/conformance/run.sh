#!/usr/bin/env bash
# Runs the conformance suite against the built server: run.sh [pytest arguments]. Without arguments, all of it: modules side
# by side, and then what must be alone.
# Installs what is missing, and needs no network when nothing is. SALLYPORT_BIN names another binary.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
venv="$repository/.venv-conformance"
export SALLYPORT_BIN="${SALLYPORT_BIN:-$repository/.build/debug/sallyport}"

if [[ ! -x "$SALLYPORT_BIN" ]]; then
    echo "run.sh: no server at $SALLYPORT_BIN; build it first, or set SALLYPORT_BIN" >&2
    exit 2
fi

packages=()
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
# dbconfig-no-thanks keeps glewlwyd from bringing a database client along.
command -v glewlwyd >/dev/null || packages+=(glewlwyd dbconfig-no-thanks)
# Without any font, Chromium ends.
command -v chromium >/dev/null || packages+=(chromium fonts-liberation)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
if ((${#packages[@]})); then
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    # The suite starts a glewlwyd and a PostgreSQL of its own: the packages are to set up no database and no cluster, and
    # run level 1 starts no service.
    echo "glewlwyd glewlwyd/config_type select No configuration" | "${as_root[@]}" debconf-set-selections
    no_cluster=/etc/postgresql-common/createcluster.d/sallyport-conformance.conf
    "${as_root[@]}" mkdir -p "${no_cluster%/*}"
    echo "create_main_cluster = false" | "${as_root[@]}" tee "$no_cluster" >/dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    "${as_root[@]}" rm "$no_cluster"
fi

stamp=$( (cat "$here/requirements.txt" && python3 --version) | sha256sum | cut -d ' ' -f 1)
if [[ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    echo "$stamp" >"$venv/stamp"
fi

export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost PYTHONDONTWRITEBYTECODE=1
cd "$here"
run() { "$venv/bin/python" -m pytest -p no:cacheprovider "$@"; }
(($#)) && { run "$@"; exit; }
run --quiet --numprocesses 2 --dist loadfile -m "not alone" --durations 10
run --quiet -m alone
