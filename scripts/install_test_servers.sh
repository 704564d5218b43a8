#!/bin/sh
# Installs what the tests can use beyond Python packages: PostgreSQL, Redis and Chromium, from Debian's packages.
set -u

log=var/log/install_test_servers.log

stop() {
    echo "$1" >&2
    exit 1
}

command -v apt-get >/dev/null 2>&1 ||
    stop "make test-deps knows Debian and Ubuntu only: install PostgreSQL's server, Redis and Chromium your system's way."
[ "$(id -u)" = 0 ] || stop "make test-deps installs system packages: run it as root (sudo make test-deps)."

mkdir -p var/log || exit 1
echo "Installing PostgreSQL, Redis and Chromium ..."
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install -y --no-install-recommends postgresql redis-server chromium; } >"$log" 2>&1 </dev/null ||
    stop "PostgreSQL, Redis and Chromium could not be installed; $log says why, near its end."
echo "PostgreSQL, Redis and Chromium are installed."
