#!/usr/bin/env bash
# Drives a mock of ours with a client that is not ours:
#
#   run.sh asterisk     panoramisk (PyPI), unmodified
#   run.sh freeswitch   greenswitch (PyPI), unmodified
#   run.sh yate         a client written from Yate's own documentation, in yate/
#   run.sh phaxio       Phaxio's own library (PyPI phaxio), unmodified
#   run.sh sinch-sms    Sinch's own SDK (PyPI sinch), unmodified
#   run.sh sinch-fax    Sinch's own SDK (npm @sinch/sdk-core), unmodified
#
# Needs cargo, python3 with venv, and PyPI; sinch-fax needs node, npm and its registry instead of the last
# two, because the vendor's Python SDK has no fax. With a second argument, the URL of a server
# (ami://user:secret@host:port, esl://:password@host:port, yate://host:port), that one is driven instead; a
# vendor's real service is not, because its books cannot be read.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

known="asterisk, freeswitch, yate, phaxio, sinch-sms or sinch-fax"
server=${1:?$known}
case $server in
asterisk | freeswitch | yate) ;;
phaxio | sinch-sms | sinch-fax)
  if [[ -n ${2:-} ]]; then
    echo "$server drives its mock only" >&2
    exit 2
  fi
  ;;
*)
  echo "$known" >&2
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

if [[ -s $here/$server/package.json ]]; then
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "$server needs node and npm: apt-get install --no-install-recommends nodejs npm" >&2
    exit 1
  fi
  # The lock pins every package by its hash; no script of a package runs.
  cp "$here/$server"/* "$work"
  npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error
  client=(node "$work/client.js")
else
  python3 -m venv "$work/venv"
  if [[ -s $here/$server/requirements.txt ]]; then
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/$server/requirements.txt"
  fi
  client=("$work/venv/bin/python" "$here/$server/client.py")
fi

url=${2:-}
if [[ -z $url ]]; then
  example=mock_${server//-/_}
  # Run by itself: cargo would wait for other builds again.
  binary=$(cargo build --quiet -p faxbot-testkit --example "$example" --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
  mkfifo "$work/input"
  "$binary" <"$work/input" >"$work/output" 9>&- &
  mock=$!
  exec 9>"$work/input"
  for ((tries = 0; tries < 200; tries++)); do
    url=$(sed -n 's/^FAXBOT_[A-Z_]*=//p' "$work/output")
    if [[ -n $url ]]; then break; fi
    kill -0 "$mock" 2>/dev/null || break
    sleep 0.1
  done
  if [[ -z $url ]]; then
    echo "the mock did not start" >&2
    exit 1
  fi
fi

timeout 120 "${client[@]}" "$url"
