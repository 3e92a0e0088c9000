#!/bin/sh
# Installs the two programs that pip cannot: Chromium (browser tests) and bubblewrap (the graders' sandbox).
# With CI=true a missing one is an error; elsewhere its tests are skipped.
set -eu

missing=
command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null ||
    missing=chromium
command -v bwrap > /dev/null || missing="$missing bubblewrap"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then root=; else root="sudo -n"; fi
if command -v apt-get > /dev/null && $root true 2> /dev/null; then
    # shellcheck disable=SC2086  # both are lists of words
    if $root apt-get update -q && $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing; then exit 0; fi
fi

if [ "${CI:-}" = true ]; then
    echo "Not installed: $missing. CI needs them: apt-get install $missing" >&2
    exit 1
fi
echo "Not installed: $missing. The tests that need them are skipped; to run them: apt-get install $missing" >&2
