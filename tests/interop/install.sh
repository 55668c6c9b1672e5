#!/usr/bin/env bash
# Make sure that a real ZooKeeper 3.8, Java, iproute2, nftables and systemd-analyze are there for the tests (Debian, Ubuntu).
# A machine that has them is left alone. Needs root or sudo without a password; otherwise says what to do.
set -euo pipefail

have() {
  for jar in zookeeper slf4j-log4j12 log4j-1.2; do [ -e "/usr/share/java/$jar.jar" ] || return 1; done
  command -v systemd-analyze >/dev/null || return 1
  command -v nft >/dev/null || [ -x /usr/sbin/nft ] || return 1
  command -v java >/dev/null && { command -v ip || [ -x /sbin/ip ]; } >/dev/null
}

have && exit 0
packages="zookeeper default-jre-headless libslf4j-java liblog4j1.2-java iproute2 nftables systemd"
if [ "$(id -u)" = 0 ]; then
  root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  root=(sudo -n)
else
  echo "tests with real ZooKeeper servers need its packages; as root: apt-get install --no-install-recommends $packages" >&2
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "tests with real ZooKeeper servers need zookeeper.jar in /usr/share/java, java, ip and nft" >&2
  exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing $packages ..."
install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages)
if ! { "${root[@]}" apt-get update -qq && "${install[@]}"; } >"$log" 2>&1 </dev/null; then
  cat "$log" >&2
  echo "could not install $packages, see above" >&2
  exit 1
fi
have || { echo "installed $packages, and something of them is still missing" >&2; exit 1; }
