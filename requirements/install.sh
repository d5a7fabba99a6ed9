#!/usr/bin/env bash
# Makes .venv from a lock file, whenever the lock or the interpreter changed. No root needed.
#
#   requirements/install.sh base      what `make run` needs
#   requirements/install.sh dev       and what the tests need (the default)
#   requirements/install.sh kokoro    and the natural voice, for building prompts
#
# PYTHON chooses the interpreter. Nothing is compiled; every file is checked against its hash.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf '%s\n' "$*" >&2; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if command -v "$name" >/dev/null && new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    die "Python 3.11 or newer is needed: install it, or say where it is (make PYTHON=/path/to/python3)"
}

make_venv() {
    local python=$1
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv .venv
    elif "$python" -m pip --version >/dev/null 2>&1 && "$python" -c 'import venv' 2>/dev/null; then
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install --quiet pip
    else
        die "Python's venv module is incomplete here: apt install python3-venv (once, as root), then again"
    fi
}

python=$(find_python)
wanted=${1:-dev}
lock=requirements/$wanted.lock
[ -f "$lock" ] || die "there is no $lock"
version=$("$python" -c 'import sys; print(*sys.version_info[:3])')

stamp() { echo "$(cat "requirements/$1.lock" pyproject.toml | sha256sum | cut -d' ' -f1) $version $PWD"; }

installed() {
    [ -x .venv/bin/python ] && [ -f ".venv/.installed-$1" ] \
        && [ "$(cat ".venv/.installed-$1")" = "$(stamp "$1")" ]
}

done_already() { installed "$wanted" || { [ "$wanted" = base ] && installed dev; }; }

if done_already; then
    exit 0
fi
if command -v flock >/dev/null; then  # two terminals must not make it at once
    exec 9<requirements
    flock -n 9 || { echo "another terminal is making .venv: waiting for it"; flock 9; }
    if done_already; then
        exit 0
    fi
fi

began=$(date +%s)
if [ ! -x .venv/bin/pip ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
    echo "making .venv with $("$python" --version)"
    make_venv "$python"
fi
echo "installing $(grep -c '^[a-z0-9].*==' "$lock") packages from $lock"
pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input)
tools=$(mktemp)
trap 'rm -f "$tools"' EXIT
# a few packages come as sources; what builds them must be there first, checked like the rest
awk '/^(setuptools|packaging)==/ {on = 1} on {print} on && !/\\$/ {on = 0}' requirements/dev.lock > "$tools"
for list in "$tools" "$lock"; do
    "${pip[@]}" install --no-deps --no-compile --require-hashes --no-build-isolation -r "$list" 2>&1 \
        | sed -u -n -E 's/^ *(Downloading|Building|Installing|ERROR)/  \1/p; s/^ *WARNING: Retrying.*/  no answer from the package index: trying again/p' \
        || die "the packages could not be installed: see above (no network? a full disk?), then again"
done
said=$("${pip[@]}" install --quiet --no-deps --no-compile --no-build-isolation --editable . 2>&1) \
    || die "sansheng itself could not be installed: $said"
stamp "$wanted" > ".venv/.installed-$wanted"
echo "installed in $(($(date +%s) - began)) s"
