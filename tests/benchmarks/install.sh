#!/usr/bin/env bash
# Make sure that what trio-fle is compared with is there: ZooKeeper and Java, etcd-server (Debian, Ubuntu), PySyncObj.
# The first argument is the Python that runs the benchmark (.venv/bin/python). A machine that has all is left alone.
# Needs root or sudo without a password for etcd; otherwise says what to do, and the benchmark leaves etcd out.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${1:-$here/../../.venv/bin/python}

"$here/../interop/install.sh"

if ! "$python" -c 'import pygal, pysyncobj' 2>/dev/null; then
  echo "installing $(grep -v '^#' "$here/requirements.txt" | tr '\n' ' ')..."
  "$python" -m pip install --quiet --quiet --disable-pip-version-check -r "$here/requirements.txt"
fi

command -v etcd >/dev/null && exit 0
if [ "$(id -u)" = 0 ]; then
  root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  root=(sudo -n)
else
  echo "the benchmark compares with etcd; as root: apt-get install --no-install-recommends etcd-server" >&2
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "the benchmark compares with etcd: put it into PATH" >&2
  exit 0
fi
log=$(mktemp)
mask=
finish() {
  [ -z "$mask" ] || "${root[@]}" rm -f "$mask"
  rm -f "$log"
}
trap finish EXIT
# the package would start a server of its own, with the default ports: not on our account
unit=/run/systemd/system/etcd.service
if [ -d /run/systemd/system ] && [ ! -e "$unit" ]; then
  mask=$unit
  "${root[@]}" ln -s /dev/null "$unit"
fi
echo "installing etcd-server ..."
install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends etcd-server)
if ! { "${root[@]}" apt-get update -qq && "${install[@]}"; } >"$log" 2>&1 </dev/null; then
  cat "$log" >&2
  echo "could not install etcd-server, see above" >&2
  exit 1
fi
command -v etcd >/dev/null || { echo "installed etcd-server, and etcd is not in PATH" >&2; exit 1; }
