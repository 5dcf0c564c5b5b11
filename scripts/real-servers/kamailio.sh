#!/usr/bin/env bash
# Real Kamailio 5.6 (Debian bookworm) and 6.1 or later (Debian sid) for the tests.
#
#   kamailio.sh install                      both chroots, in parallel; kept and used again
#   kamailio.sh versions                     prints both; fails unless 5.6.x and >= 6.1
#   kamailio.sh start VERSION NAME [OPTION]  start in the background, return when it answers
#   kamailio.sh run VERSION NAME [OPTION]    the same in the foreground: the process IS Kamailio
#   kamailio.sh wait VERSION NAME            return when an instance started by `run` answers
#   kamailio.sh stop VERSION NAME            orderly stop; `stop all` stops every instance
#   kamailio.sh kill VERSION NAME            SIGKILL to all its processes; `start` keeps the ports
#   kamailio.sh remove VERSION NAME          stop and delete the instance, freeing its ports
#   kamailio.sh status                       one line for each instance
#   kamailio.sh env VERSION NAME             NAME=value lines that the tests read
#
# VERSION is 5.6 or 6.1. NAME is letters, digits, `-` and `_`. Options, on start and run:
#   auth=KIND         of JSON-RPC over HTTP: none (default), basic, bearer, digest
#   dgram=KIND        socket of JSON-RPC in datagrams: unix (default), udp
#   trunk=HOST:PORT   where numbers that nobody has registered go (default: 404)
#   ring=N            seconds until an unanswered call ends (default 30)
#   probe=N           seconds between the OPTIONS to the trunk (default 0: none)
# Without options an existing instance starts with the configuration it has.
#
# Everything lives under ${FAXBOT_REAL_SERVERS:-<repository>/.real-servers}. FAXBOT_DEBIAN_MIRROR
# may name a Debian mirror; otherwise the machine's own apt sources are asked, at run time.
set -euo pipefail

self=${BASH_SOURCE[0]}
server=kamailio
product=Kamailio
versions=(5.6 6.1)
# Without netbase Kamailio does not know TCP and leaves Nagle on.
packages=(kamailio kamailio-extra-modules kamailio-json-modules kamailio-tls-modules
  kamailio-utils-modules kamailio-xml-modules netbase)
# 80 slots of 10 ports, below those of asterisk.sh: SIP, RPC, evapi, RPC in datagrams. Nobody ever
# listens on the last two, which are the dispatcher's dead destinations.
first_port=7100
ports_per_slot=10
slots=80
control_ports=4
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$self")/common.sh"
templates=$here/$server

suite_of() {
  case $1 in
    5.6) echo bookworm ;;
    6.1) echo sid ;;
    *) fail "unknown version '$1' (5.6 or 6.1)" ;;
  esac
}

version_inside() {
  chroot "$(root_of "$1")" /usr/sbin/kamailio -v | awk '/^version:/ { print $3 }'
}

check_version() {
  local version=$1 text major minor
  text=$(version_inside "$version") || fail "Kamailio $version does not run in its chroot"
  [[ $text =~ ^([0-9]+)\.([0-9]+)\. ]] || fail "Kamailio $version: cannot read the version '$text'"
  major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
  case $version in
    5.6) ((major == 5 && minor == 6)) || fail "wanted Kamailio 5.6, found $text" ;;
    6.1) ((major > 6 || (major == 6 && minor >= 1))) || fail "wanted Kamailio 6.1 or later, found $text" ;;
  esac
  echo "Kamailio $version: $text"
}

configure() {
  local version=$1 name=$2 dir base root template option parent
  local auth=none dgram=unix trunk='' ring=30 probe=0 dgram_socket
  shift 2
  dir=$(outside_of "$version" "$name")
  root=$(root_of "$version")
  if (($# == 0)) && [[ -e $dir/configured ]]; then
    return 0
  fi
  for option in "$@"; do
    case $option in
      auth=none | auth=basic | auth=bearer | auth=digest) auth=${option#auth=} ;;
      dgram=unix | dgram=udp) dgram=${option#dgram=} ;;
      trunk=*:*) trunk=${option#trunk=} ;;
      ring=[1-9] | ring=[1-9][0-9] | ring=1[0-7][0-9]) ring=${option#ring=} ;;
      probe=[0-9] | probe=[1-9][0-9]) probe=${option#probe=} ;;
      *) fail "unknown option '$option'" ;;
    esac
  done
  mkdir -p "$dir"/{etc,db,log,run}
  # A client names its own socket as it sees it, and Kamailio answers to that name: inside, the
  # chroot's path outside leads to the chroot.
  mkdir -p "$root$(dirname "$root")"
  ln -sfn / "$root$root"
  parent=$(dirname "$root")
  while [[ $parent != / ]]; do
    chmod a+x "$root$parent"
    parent=$(dirname "$parent")
  done
  # The address of a unix socket holds 108 bytes, the last of which is 0.
  ((${#dir} + 9 < 108)) || fail "$dir is too long for a unix socket: choose a shorter FAXBOT_REAL_SERVERS"
  hold_slot "$dir"
  base=$(base_of "$dir")
  case $dgram in
    unix) dgram_socket=$inside/$name/run/rpc ;;
    udp) dgram_socket=udp:127.0.0.1:$((base + 3)) ;;
  esac
  for template in "$templates"/*; do
    sed -e "s|@DIR@|$inside/$name|g" \
      -e "s|@SIP@|$base|g" -e "s|@RPC@|$((base + 1))|g" -e "s|@EVAPI@|$((base + 2))|g" \
      -e "s|@AUTH@|$auth|g" -e "s|@DGRAM@|$dgram_socket|g" \
      -e "s|@TRUNK@|${trunk:-127.0.0.1:$((base + 8))}|g" -e "s|@DEAD@|127.0.0.1:$((base + 9))|g" \
      -e "s|@NUMBERS@|${trunk:+trunk}|g" -e "s|@RING@|$ring|g" -e "s|@PROBE@|$probe|g" \
      "$template" >"$dir/etc/$(basename "$template")"
  done
  cp "$repository/docs/adapters/kamailio-events.cfg" "$dir/etc/"
  cp "$root"/usr/share/kamailio/dbtext/kamailio/{version,uacreg} "$dir/db/"
  chown -R "$(chroot "$root" id -u kamailio):$(chroot "$root" id -g kamailio)" "$dir"/{etc,db,log,run}
  # A client that is another user can put its own socket beside Kamailio's.
  chmod 1777 "$dir/run"
  printf '%s\n' "$auth" >"$dir/auth"
  printf '%s\n' "$dgram" >"$dir/dgram"
  touch "$dir/configured"
}

run_server() {
  local version=$1 name=$2 dir
  dir=$(outside_of "$version" "$name")
  if [[ -e $dir/log/console ]]; then
    cat "$dir/log/console" >>"$dir/log/console.old"
    : >"$dir/log/console"
  fi
  ulimit -Sn 16384 2>/dev/null || ulimit -Sn "$(ulimit -Hn)"
  # -DD does not leave the terminal and nothing between here and Kamailio forks, so the process id of
  # the caller is that of Kamailio's first process.
  exec chroot "$(root_of "$version")" /usr/sbin/kamailio -DD -E -u kamailio -g kamailio \
    -m 128 -M 16 -Y "$inside/$name/run" -f "$inside/$name/etc/kamailio.cfg"
}

# A SIGKILL to the first process leaves its children running, and they hold the ports.
server_pids() {
  local root first pid
  root=$(root_of "$1")
  first=$(running_pid "$1" "$2") && echo "$first"
  for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    # Two tests, because the first one starts no process.
    if [[ $pid != "${first:-}" && /proc/$pid/root -ef $root ]] && is_of "$1" "$2" "$pid"; then
      echo "$pid"
      first=${first:-$pid}
    fi
  done
  [[ -n ${first:-} ]]
}

# Whether HTTP answers: any path but /RPC is 404 without authentication. The answer is read to its
# end, because Kamailio logs a connection that is reset.
answers() {
  local line=
  exec 7<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n' >&7
  while [[ $line != "not found" ]]; do
    IFS= read -r -t 2 line <&7 || return 1
  done
}

wait_booted() {
  local version=$1 name=$2 child=${3:-} deadline=$((SECONDS + 60)) dir base
  dir=$(outside_of "$version" "$name")
  while ((SECONDS < deadline)); do
    # Until it has become Kamailio the child does not count as running, so only its end tells.
    if [[ -n $child ]] && ! kill -0 "$child" 2>/dev/null; then break; fi
    if running_pid "$version" "$name" >/dev/null; then
      base=$(base_of "$dir")
      if (answers "$((base + 1))") 2>/dev/null && ss -Hlnt "sport = :$((base + 2))" | grep -q .; then
        return 0
      fi
    fi
    sleep 0.05
  done
  tail -n 30 "$dir/log/console" >&2 || true
  fail "Kamailio $version $name did not boot"
}

print_env() {
  local version=$1 name=$2 dir=$3 base=$4 pid=$5 credentials='' dgram='' dgram_udp=''
  case $(<"$dir/auth") in
    basic | digest) credentials=faxbot:s3cret@ ;;
    bearer) credentials=t0ken@ ;;
  esac
  case $(<"$dir/dgram") in
    unix) dgram=$dir/run/rpc ;;
    udp) dgram_udp=127.0.0.1:$((base + 3)) ;;
  esac
  cat <<END
FAXBOT_KAMAILIO=kamailio+http://${credentials}127.0.0.1:$((base + 1))/RPC?events=127.0.0.1:$((base + 2))
FAXBOT_KAMAILIO_VERSION=$version
FAXBOT_KAMAILIO_NAME=$name
FAXBOT_KAMAILIO_PID=$pid
FAXBOT_KAMAILIO_SLOT=$(<"$dir/slot")
FAXBOT_KAMAILIO_AUTH=$(<"$dir/auth")
FAXBOT_KAMAILIO_SIP_PORT=$base
FAXBOT_KAMAILIO_RPC_PORT=$((base + 1))
FAXBOT_KAMAILIO_EVAPI_PORT=$((base + 2))
FAXBOT_KAMAILIO_DGRAM=$dgram
FAXBOT_KAMAILIO_DGRAM_UDP=$dgram_udp
FAXBOT_KAMAILIO_LOG=$dir/log/console
END
}

dispatch "$@"
