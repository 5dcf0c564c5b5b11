#!/usr/bin/env bash
# Real Asterisk 16 (Debian bullseye) and 22 or later (Debian sid) for the tests.
#
#   asterisk.sh install                      both chroots, in parallel; kept and used again
#   asterisk.sh versions                     prints both; fails unless 16.x and >= 22
#   asterisk.sh start VERSION NAME [OPTION]  start in the background, return when fully booted
#   asterisk.sh run VERSION NAME [OPTION]    the same in the foreground: the process IS Asterisk
#   asterisk.sh wait VERSION NAME            return when an instance started by `run` is booted
#   asterisk.sh stop VERSION NAME            orderly stop; `stop all` stops every instance
#   asterisk.sh kill VERSION NAME            SIGKILL; a later `start` keeps ports, spool and AstDB
#   asterisk.sh remove VERSION NAME          stop and delete the instance, freeing its ports
#   asterisk.sh status                       one line for each instance
#   asterisk.sh env VERSION NAME             NAME=value lines that the tests read
#   asterisk.sh cli VERSION NAME COMMAND     one console command
#
# VERSION is 16 or 22. NAME is letters, digits, `-` and `_`. Options, on start and run:
#   trunk=HOST:PORT   where the endpoint `trunk` sends its calls (default: this instance)
#   peer=HOST:PORT    where the endpoint `peer` sends its calls (default: nobody listens there)
#   pace=N            fax media N times as fast, 1 to 20 (default 1: the real time; see pace.c)
# Without options an existing instance starts with the configuration it has.
#
# Everything lives under ${FAXBOT_REAL_SERVERS:-<repository>/.real-servers}. FAXBOT_DEBIAN_MIRROR
# may name a Debian mirror; otherwise the machine's own apt sources are asked, at run time.
set -euo pipefail

self=${BASH_SOURCE[0]}
server=asterisk
product=Asterisk
versions=(16 22)
packages=(asterisk asterisk-modules)
# 36 slots of 600 ports, all below the kernel's ephemeral range (32768): control, SIP and T.38. RTP
# has an address of its own in each slot, 127.0.1.SLOT+1, and there all ports.
first_port=10000
ports_per_slot=600
slots=36
control_ports=3
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$self")/common.sh"
templates=$here/$server

suite_of() {
  case $1 in
    16) echo bullseye ;;
    22) echo sid ;;
    *) fail "unknown version '$1' (16 or 22)" ;;
  esac
}

version_inside() {
  chroot "$(root_of "$1")" /usr/sbin/asterisk -V | awk '{ print $2 }'
}

check_version() {
  local version=$1 text major
  text=$(version_inside "$version") || fail "Asterisk $version does not run in its chroot"
  major=${text%%.*}
  [[ $major =~ ^[0-9]+$ ]] || fail "Asterisk $version: cannot read the version '$text'"
  case $version in
    16) ((major == 16)) || fail "wanted Asterisk 16, found $text" ;;
    22) ((major >= 22)) || fail "wanted Asterisk 22 or later, found $text" ;;
  esac
  echo "Asterisk $version: $text"
}

module_dir() {
  local found
  found=$(find "$(root_of "$1")/usr/lib" -name res_fax.so -printf '%h\n' -quit)
  [[ -n $found ]] || fail "Asterisk $1 has no res_fax.so"
  echo "${found#"$(root_of "$1")"}"
}

# Five seconds of 500 Hz in G.711 mu-law: a period is 16 samples at 8,000 a second.
music() {
  local wave='\xff\xb7\xa9\xa2\xa0\xa2\xa9\xb7\xff\x37\x29\x22\x20\x22\x29\x37' second
  # shellcheck disable=SC2059
  second=$(printf "$wave%.0s" {1..500} | base64 -w0)
  for _ in 1 2 3 4 5; do base64 -d <<<"$second"; done
}

configure() {
  local version=$1 name=$2 dir base slot trunk='' peer='' pace=1 option sip template user group modules
  shift 2
  dir=$(outside_of "$version" "$name")
  if (($# == 0)) && [[ -e $dir/configured ]]; then
    return 0
  fi
  for option in "$@"; do
    case $option in
      trunk=*:*) trunk=${option#trunk=} ;;
      peer=*:*) peer=${option#peer=} ;;
      pace=[1-9] | pace=1[0-9] | pace=20) pace=${option#pace=} ;;
      *) fail "unknown option '$option'" ;;
    esac
  done
  mkdir -p "$dir"/{etc,db,log,run,keys,moh,spool,spool/out,spool/received,spool/monitor}
  hold_slot "$dir"
  slot=$(<"$dir/slot")
  base=$(base_of "$dir")
  sip=$((base + 2))
  modules=$(module_dir "$version")
  for template in "$templates"/*.conf; do
    sed -e "s|@DIR@|$inside/$name|g" \
      -e "s|@MODULES@|$modules|g" \
      -e "s|@AMI@|$base|g" -e "s|@AMI_TLS@|$((base + 1))|g" -e "s|@SIP@|$sip|g" \
      -e "s|@UDPTL_FIRST@|$((base + 10))|g" -e "s|@UDPTL_LAST@|$((base + 109))|g" \
      -e "s|@MEDIA@|127.0.1.$((slot + 1))|g" \
      -e "s|@TRUNK@|${trunk:-127.0.0.1:$sip}|g" -e "s|@PEER@|${peer:-127.0.0.1:$((base + 9))}|g" \
      "$template" >"$dir/etc/$(basename "$template")"
  done
  if [[ ! -e $dir/keys/ami.pem ]]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
      -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
      -addext 'basicConstraints=critical,CA:FALSE' \
      -keyout "$dir/keys/ami.key" -out "$dir/keys/ami.pem" 2>/dev/null
  fi
  music >"$dir/moh/tone.ulaw"
  rm -f "$dir/pace.so"
  if ((pace > 1)); then
    cc -O2 -Wall -Werror -fPIC -shared "-DPACE=$pace" -o "$dir/pace.so" "$templates/pace.c" ||
      fail "pace=$pace needs a C compiler"
  fi
  user=$(chroot "$(root_of "$version")" id -u asterisk)
  group=$(chroot "$(root_of "$version")" id -g asterisk)
  chown -R "$user:$group" "$dir"/{etc,db,log,run,keys}
  # As on a real machine Asterisk is not root. Files that a test puts into the spool get Asterisk's
  # group from the directory (setgid), which is what a 0640 file needs to be readable there.
  chown "$(id -u):$group" "$dir/spool" "$dir/spool/out"
  chown "$user:$group" "$dir"/spool/{received,monitor}
  chmod 2770 "$dir/spool" "$dir"/spool/{out,received,monitor}
  echo "$group" >"$dir/group"
  touch "$dir/configured"
}

run_server() {
  local version=$1 name=$2 log preload=()
  log=$(outside_of "$version" "$name")/log/full
  if [[ -e $log ]]; then
    cat "$log" >>"$log.old"
    : >"$log"
  fi
  if [[ -e $(outside_of "$version" "$name")/pace.so ]]; then
    preload=("LD_PRELOAD=$inside/$name/pace.so")
  fi
  # The usual 1,024 end at some 150 calls.
  ulimit -Sn 16384 2>/dev/null || ulimit -Sn "$(ulimit -Hn)"
  # -f does not fork and nothing between here and Asterisk forks either, so the process id of the
  # caller is Asterisk's own.
  exec chroot "$(root_of "$version")" /usr/bin/env "${preload[@]}" /usr/sbin/asterisk -f -n -U asterisk -G asterisk \
    -C "$inside/$name/etc/asterisk.conf"
}

console() {
  local version=$1 name=$2
  shift 2
  chroot "$(root_of "$version")" /usr/sbin/asterisk -C "$inside/$name/etc/asterisk.conf" -rx "$*"
}

wait_booted() {
  local version=$1 name=$2 child=${3:-} deadline=$((SECONDS + 60)) dir
  dir=$(outside_of "$version" "$name")
  while ((SECONDS < deadline)); do
    # Until it has become Asterisk the child does not count as running, so only its end tells.
    if [[ -n $child ]] && ! kill -0 "$child" 2>/dev/null; then break; fi
    # A socket that a SIGKILL left behind exists too, so only an answer counts.
    if [[ -S $dir/run/asterisk.ctl ]] && running_pid "$version" "$name" >/dev/null &&
      console "$version" "$name" core waitfullybooted 2>/dev/null | grep -q 'fully booted'; then
      # Asterisk boots without the modules that it cannot load, and says so only in its log.
      if grep -E 'Error loading module|declined to load' "$dir/log/full" >&2; then
        fail "Asterisk $version $name lacks modules"
      fi
      return 0
    fi
    sleep 0.05
  done
  tail -n 30 "$dir/log/console" "$dir/log/full" >&2 || true
  fail "Asterisk $version $name did not boot"
}

print_env() {
  local dir=$3 base=$4 pid=$5
  cat <<END
FAXBOT_AMI=ami://faxbot:s3cret@127.0.0.1:$base
FAXBOT_DIAL=PJSIP/{number}@trunk
FAXBOT_SPOOL=$dir/spool/out
FAXBOT_SPOOL_REMOTE=$inside/$2/spool/out
FAXBOT_ASTERISK_VERSION=$1
FAXBOT_ASTERISK_NAME=$2
FAXBOT_ASTERISK_PID=$pid
FAXBOT_ASTERISK_AMI_PORT=$base
FAXBOT_ASTERISK_AMI_TLS_PORT=$((base + 1))
FAXBOT_ASTERISK_AMI_TLS_CA=$dir/keys/ami.pem
FAXBOT_ASTERISK_SIP_PORT=$((base + 2))
FAXBOT_ASTERISK_RECEIVED=$dir/spool/received
FAXBOT_ASTERISK_MONITOR=$dir/spool/monitor
FAXBOT_ASTERISK_MONITOR_REMOTE=$inside/$2/spool/monitor
FAXBOT_ASTERISK_GROUP=$(<"$dir/group")
FAXBOT_ASTERISK_LOG=$dir/log/full
END
}

cmd_cli() {
  need_root
  check_instance "$1" "$2"
  console "$@"
}

dispatch "$@"
