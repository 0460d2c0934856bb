#!/usr/bin/env bash
# Debian's Chromium, for the tests in a browser.
set -euo pipefail
command -v chromium >/dev/null && { echo "browser-setup: $(chromium --version --no-sandbox)"; exit 0; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
