#!/usr/bin/env bash
# Install the exact versions of one or more lock files into .venv, which is created if it is missing; files
# without one of the locked hashes are refused. Uses the uv on the PATH, or installs one into .venv with pip.
set -euo pipefail
cd "$(dirname "$0")"
venv=.venv

fits() { # a Python from 3.11 to 3.13
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null
}

find_python() {
  for name in python3 python3.13 python3.12 python3.11; do
    if fits "$name"; then echo "$name" && return; fi
  done
}

python=$(find_python)
if ! fits "$venv/bin/python"; then
  rm -rf "$venv"
  if [[ -n $python ]]; then
    "$python" -m venv "$venv" || { echo "error: $python cannot create a virtual environment; on" \
      "Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
  elif command -v uv > /dev/null; then # it downloads its own Python
    uv venv --quiet --seed --python 3.12 "$venv" || { echo "error: Python 3.11 to 3.13 is" \
      "needed, and uv cannot download one; install one, for example 3.12" >&2; exit 1; }
  else
    echo "error: Python 3.11 to 3.13 is needed, and python3 is" \
      "$(python3 --version 2>&1 || echo missing); install one of these, or install uv, which downloads one" >&2
    exit 1
  fi
  # So that scripts in .venv/bin still work after the folder is renamed.
  echo "relocatable = true" >> "$venv/pyvenv.cfg"
fi
if ! uv=$(command -v uv); then
  uv=$venv/bin/uv
  [[ -x $uv ]] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --requirement <(sed -n '/^uv==/,/[^\\]$/p' requirements-dev.lock)
fi
for lock in "$@"; do
  SECONDS=0
  echo "installing the $(grep -c '^[a-z].*==' "$lock") packages of $lock into $venv ..."
  "$uv" pip install --quiet --require-hashes --python "$venv/bin/python" --requirement "$lock"
  echo "... done in $SECONDS s"
done
# `source .venv/bin/activate` sets the folder's name at the time when .venv was made; use the present one.
grep -q here_now "$venv/bin/activate" || cat >> "$venv/bin/activate" << 'END'
here_now=$(CDPATH= cd "$(dirname "${BASH_SOURCE:-$0}")/.." && pwd)
if [ -f "$here_now/pyvenv.cfg" ]; then
  export VIRTUAL_ENV="$here_now" PATH="$here_now/bin:$_OLD_VIRTUAL_PATH"
fi
END
# A one-word command, which shell completion needs; it works in the project's folder and below.
cat > "$venv/bin/pipeline" << 'END'
#!/bin/sh
project=$(CDPATH= cd "$(dirname "$0")/../.." && pwd)
PYTHONPATH=$project${PYTHONPATH:+:$PYTHONPATH} exec "$project/.venv/bin/python" -m pipeline "$@"
END
chmod +x "$venv/bin/pipeline"
