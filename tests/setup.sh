#!/bin/sh
# Make .venv with this project in it: `sh tests/setup.sh` to use it, `sh tests/setup.sh test` to test it.
# On Debian and Ubuntu it first installs what is missing of python3-venv, the libraries of the embedded MongoDB
# server and a browser for the tests, as far as it may (as root, or through sudo). For the tests of the alerts it
# unpacks promtool into .venv/bin.
set -eu
cd "$(dirname "$0")/.."
extra="${1:-all}"
python="${PYTHON:-python3}"

missing=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
libraries="$(/sbin/ldconfig -p 2>/dev/null || true)"
for library in libcurl.so.4:libcurl4 libssl.so.3:libssl3; do
    case "$libraries" in
        *"${library%%:*}"*) ;;
        *) missing="$missing ${library##*:}" ;;
    esac
done
if [ "$extra" = test ] && ! ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; then
    missing="$missing faketime" # for the tests with wrong clocks, which are skipped without it
fi
if [ "$extra" = test ] && ! command -v curl >/dev/null; then
    missing="$missing curl" # for the test of the page that shows the web service step by step
fi
browser=""
if [ "$extra" = test ] && ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null &&
    ! command -v google-chrome >/dev/null; then
    browser=chromium # for the tests of the pages, which are skipped without it; Ubuntu has no such package
fi
for wanted in "$missing" "$browser"; do
    if [ -n "$wanted" ] && command -v apt-get >/dev/null; then
        as_root=""
        [ "$(id -u)" = 0 ] || as_root="sudo"
        echo "installing $wanted"
        # shellcheck disable=SC2086  # a list of package names
        { $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq \
            --no-install-recommends $wanted >/dev/null; } || echo "could not install $wanted; trying without" >&2
    fi
done

[ -x .venv/bin/pip ] || "$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --editable ".[$extra]"

if [ "$extra" = test ] && ! command -v promtool >/dev/null && [ ! -x .venv/bin/promtool ] && command -v apt-get >/dev/null; then
    # for the tests of the alerts, which are skipped without it; the package is unpacked only: installed it runs a server
    (
        unpacked="$(mktemp -d)"
        trap 'rm -rf "$unpacked"' EXIT
        target="$PWD/.venv/bin"
        cd "$unpacked" && apt-get download -qq -o APT::Sandbox::User=root prometheus >/dev/null && dpkg-deb -x prometheus_*.deb . &&
            cp usr/bin/promtool "$target"
    ) || echo "could not fetch promtool; trying without" >&2
fi
