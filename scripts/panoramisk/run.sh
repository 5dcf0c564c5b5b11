#!/usr/bin/env bash
# Drives MockAsterisk with the unmodified Python client panoramisk. Needs cargo, python3 with venv,
# and PyPI. With an argument (ami://user:secret@host:port) that server is driven instead.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

work=$(mktemp -d)
mock=
finish() {
  # The mock ends with its input.
  exec 9>&- || true
  if [[ -n $mock ]]; then wait "$mock" || true; fi
  rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"

url=${1:-}
if [[ -z $url ]]; then
  cargo build --quiet -p faxbot-testkit --example mock_asterisk
  mkfifo "$work/input"
  cargo run --quiet -p faxbot-testkit --example mock_asterisk <"$work/input" >"$work/output" 9>&- &
  mock=$!
  exec 9>"$work/input"
  for ((tries = 0; tries < 200; tries++)); do
    url=$(sed -n 's/^FAXBOT_AMI=//p' "$work/output")
    if [[ -n $url ]]; then break; fi
    kill -0 "$mock" 2>/dev/null || break
    sleep 0.1
  done
  if [[ -z $url ]]; then
    echo "the mock did not start" >&2
    exit 1
  fi
fi

timeout 120 "$work/venv/bin/python" "$here/client.py" "$url"
