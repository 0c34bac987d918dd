#!/bin/sh
# Install the Debian packages named in the given lists, if any is missing; as root, or through sudo.
set -eu
wanted=$(sed 's/#.*//' "$@" | sort -u)
missing=
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
command -v ${sudo:-true} >/dev/null || {
    echo "These Debian packages are missing, and there is no sudo to install them:$missing" >&2
    exit 1
}
echo "Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
