#!/usr/bin/env bash
# A software Vulkan driver for the GPU tests. Dawn needs a newer Mesa than Debian's stable release carries, so the
# release's own -backports suite is added, written from the sources this machine already has.
set -euo pipefail
for list in /etc/apt/sources.list.d/debian.sources; do
  [ -e "$list" ] || { echo "webgpu-setup: $list is missing, Vulkan drivers are left as they are"; exit 0; }
done
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
backports=/etc/apt/sources.list.d/backports.sources
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
version=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || true)
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 24; then
  echo "webgpu-setup: mesa-vulkan-drivers $version is there"
  exit 0
fi
# The first stanza is the main archive: its suites become one, the backports of the same release.
sed -n '1,/^$/p' /etc/apt/sources.list.d/debian.sources | sed "s/^Suites:.*/Suites: $release-backports/" | as_root tee "$backports" >/dev/null
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends -t "$release-backports" mesa-vulkan-drivers libvulkan1
