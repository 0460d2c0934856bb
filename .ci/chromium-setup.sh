#!/usr/bin/env bash
# Chromium for the browser tests, from Debian. CHROMIUM names another one.
set -euo pipefail
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] && exit 0
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends chromium
