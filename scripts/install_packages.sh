#!/bin/sh
# Installs one hashed lock into .venv, making .venv first: install_packages.sh requirements.txt
# Speaks in one sentence; what the installer said is kept in var/log/install.log.
set -u

lock=$1
log=var/log/install.log
can_run='import sys; sys.exit(sys.version_info < (3, 11))'
can_make_environment='import ensurepip, venv'

stop() {
    echo "$1" >&2
    exit 1
}

# The first Python 3.11 or later that passes the check given as $1.
find_python() {
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c "$can_run" >/dev/null 2>&1 &&
            "$name" -c "$1" >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

with_uv() {
    uv --version >/dev/null 2>&1 || return 1
    .venv/bin/python -c "$can_run" 2>/dev/null ||
        uv venv --clear --python "$(find_python pass)" .venv || return 1
    uv pip install --python .venv/bin/python --require-hashes -r "$lock"
}

with_pip() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 ||
        "$(find_python "$can_make_environment")" -m venv --clear .venv || return 1
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --retries 2 \
        --require-hashes -r "$lock"
}

find_python pass >/dev/null ||
    stop "Easel needs Python 3.11 or later, and none is on PATH: install one (python3.11, say) and try again."
uv --version >/dev/null 2>&1 || find_python "$can_make_environment" >/dev/null ||
    stop "Python's venv module is missing: install it (Debian, Ubuntu: apt-get install python3-venv) and try again."

mkdir -p var/log || exit 1
echo "Installing $lock into .venv (once; about a minute) ..."
: >"$log"
{ with_uv || with_pip; } >>"$log" 2>&1 && exit 0

if grep -qiE 'name resolution|name or service|dns error|error sending request|NewConnectionError|unreachable|timed out|Connection refused|ProxyError' "$log"; then
    stop "The packages could not be downloaded: installing needs network access to a Python package index (details: $log)."
fi
stop "The packages could not be installed; $log says why, near its end."
