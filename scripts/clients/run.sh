#!/usr/bin/env bash
# Drives a mock of ours with a client that is not ours:
#
#   run.sh asterisk     panoramisk (PyPI), unmodified
#   run.sh freeswitch   greenswitch (PyPI), unmodified
#   run.sh yate         a client written from Yate's own documentation, in yate/
#
# Needs cargo, python3 with venv, and PyPI. With a second argument, the URL of a server
# (ami://user:secret@host:port, esl://:password@host:port, yate://host:port), that one is driven instead.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

server=${1:?asterisk, freeswitch or yate}
case $server in
asterisk | freeswitch | yate) ;;
*)
  echo "asterisk, freeswitch or yate" >&2
  exit 2
  ;;
esac

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
if [[ -s $here/$server/requirements.txt ]]; then
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/$server/requirements.txt"
fi

url=${2:-}
if [[ -z $url ]]; then
  cargo build --quiet -p faxbot-testkit --example "mock_$server"
  mkfifo "$work/input"
  cargo run --quiet -p faxbot-testkit --example "mock_$server" <"$work/input" >"$work/output" 9>&- &
  mock=$!
  exec 9>"$work/input"
  for ((tries = 0; tries < 200; tries++)); do
    url=$(sed -n 's/^FAXBOT_[A-Z]*=//p' "$work/output")
    if [[ -n $url ]]; then break; fi
    kill -0 "$mock" 2>/dev/null || break
    sleep 0.1
  done
  if [[ -z $url ]]; then
    echo "the mock did not start" >&2
    exit 1
  fi
fi

timeout 120 "$work/venv/bin/python" "$here/$server/client.py" "$url"
