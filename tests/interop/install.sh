#!/usr/bin/env bash
# Make sure that a real ZooKeeper 3.8 and a Java runtime are there for the tests beside them (Debian, Ubuntu).
# A machine that has both is left alone. Needs root or sudo without a password; otherwise says what to do.
set -euo pipefail

have() { [ -e /usr/share/java/zookeeper.jar ] && [ -e /usr/share/java/zookeeper-jute.jar ] && command -v java >/dev/null; }

have && exit 0
packages="zookeeper openjdk-17-jre-headless"
if [ "$(id -u)" = 0 ]; then
  root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  root=(sudo -n)
else
  echo "tests with real ZooKeeper servers need its packages; as root: apt-get install --no-install-recommends $packages" >&2
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "tests with real ZooKeeper servers need zookeeper.jar in /usr/share/java and a java command" >&2
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
have || { echo "installed $packages, and still miss /usr/share/java/zookeeper.jar or java" >&2; exit 1; }
