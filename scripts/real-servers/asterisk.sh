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

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
cache=$(realpath -m "${FAXBOT_REAL_SERVERS:-$repository/.real-servers}")
# Asterisk runs as another user and must be able to walk to its files.
umask 022
templates=$here/asterisk
# Where instances live as Asterisk sees it. Outside, the chroot's path stands before it: the tests
# of path mapping depend on these two being different.
inside=/srv/faxbot
# 36 slots of 600 ports, all below the kernel's ephemeral range (32768): control, SIP and T.38. RTP
# has an address of its own in each slot, 127.0.1.SLOT+1, and there all ports.
first_port=10000
ports_per_slot=600
slots=36

fail() {
  echo "asterisk.sh: $*" >&2
  exit 1
}

usage() {
  sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}

need_root() {
  [[ $(id -u) -eq 0 ]] || fail "must run as root: it uses debootstrap and chroot"
}

suite_of() {
  case $1 in
    16) echo bullseye ;;
    22) echo sid ;;
    *) fail "unknown version '$1' (16 or 22)" ;;
  esac
}

root_of() { echo "$cache/asterisk$1"; }
outside_of() { echo "$(root_of "$1")$inside/$2"; }

check_instance() {
  suite_of "$1" >/dev/null
  [[ $2 =~ ^[A-Za-z0-9_-]{1,40}$ ]] || fail "bad instance name '$2'"
  [[ -e "$(root_of "$1").complete" ]] || fail "Asterisk $1 is not installed: run asterisk.sh install"
}

# --- install -----------------------------------------------------------------------------------

# The URIs of the machine's apt sources, both notations, in their order.
apt_uris() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -f $file ]] || continue
    sed -nE 's/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' "$file"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ -f $file ]] || continue
    # `URIs:` may go on over indented lines.
    awk 'tolower($1) == "uris:" { on = 1; $1 = "" } /^[^ \t]/ && tolower($0) !~ /^uris:/ && NF && $0 !~ /^ / { on = 0 }
         on && $0 !~ /^#/ { for (i = 1; i <= NF; i++) print $i }' "$file"
  done
}

# Each source as it stands, then the places where mirrors keep releases that have left the main
# archive: a sibling folder, and a host of the same domain called `archive`.
mirror_candidates() {
  local uri
  if [[ -n ${FAXBOT_DEBIAN_MIRROR:-} ]]; then
    echo "$FAXBOT_DEBIAN_MIRROR"
  fi
  while read -r uri; do
    case $uri in http://* | https://* | file:*) echo "${uri%/}" ;; esac
  done < <(apt_uris) | awk '!seen[$0]++' | tee >(
    while read -r uri; do
      sed -E 's,/debian$,/debian-archive/debian,' <<<"$uri"
      sed -E 's,^(https?://)[^./]+\.,\1archive.,' <<<"$uri"
    done
  ) | awk '!seen[$0]++'
}

# apt's own downloader knows the machine's proxies, certificates and credentials.
reachable() {
  local target
  target=$(mktemp)
  if /usr/lib/apt/apt-helper download-file "$1" "$target" >/dev/null 2>&1; then
    rm -f "$target"
    return 0
  fi
  rm -f "$target"
  return 1
}

find_mirror() {
  local suite=$1 uri tried=()
  while read -r uri; do
    [[ -n $uri ]] || continue
    tried+=("$uri")
    # The architecture's own index: a source for something else also has a dists folder.
    if reachable "$uri/dists/$suite/main/binary-$(dpkg --print-architecture)/Packages.xz"; then
      echo "$uri"
      return 0
    fi
  done < <(mirror_candidates)
  fail "no mirror has $suite; tried: ${tried[*]:-none}. Set FAXBOT_DEBIAN_MIRROR"
}

# Retries, because a mirror that drops one of 200 packages is the usual failure in CI.
apt_inside() {
  local root=$1 attempt
  shift
  for attempt in 1 2 3; do
    if chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
      -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"; then
      return 0
    fi
    echo "apt-get $* failed, attempt $attempt" >&2
    sleep 5
  done
  return 1
}

install_one() {
  local version=$1 suite root mirror
  suite=$(suite_of "$version")
  root=$(root_of "$version")
  if [[ -e $root.complete ]]; then
    echo "Asterisk $version: $root is complete"
    return 0
  fi
  # No marker: a former run was cut short, and debootstrap cannot go on where it stopped.
  rm -rf --one-file-system "$root"
  mirror=$(find_mirror "$suite")
  echo "Asterisk $version: debootstrap of $suite"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror"
  # What the machine's apt needs to reach its mirrors, the apt inside needs too.
  cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
  apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' >"$root/etc/apt/apt.conf.d/90machine" || true
  if [[ -d /usr/local/share/ca-certificates ]]; then
    cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null
  fi
  # Package scripts may not start a second Asterisk on the standard ports.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  apt_inside "$root" update
  apt_inside "$root" install --no-install-recommends asterisk asterisk-modules
  chroot "$root" apt-get clean
  check_version "$version"
  mkdir -p "$root$inside"
  touch "$root.complete"
}

cmd_install() {
  need_root
  local missing=() tool
  for tool in debootstrap flock openssl ss; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  if ((${#missing[@]})); then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
      debootstrap debian-archive-keyring ca-certificates util-linux openssl iproute2
  fi
  mkdir -p "$cache"
  # Two test runs that start together would otherwise build in one directory.
  exec 8>"$cache/install.lock"
  flock 8
  local version log failed=0
  declare -A pids=()
  for version in 16 22; do
    log=$cache/install-$version.log
    (install_one "$version") >"$log" 2>&1 8>&- &
    pids[$version]=$!
  done
  for version in 16 22; do
    if ! wait "${pids[$version]}"; then
      echo "Asterisk $version: install failed; the end of $cache/install-$version.log:" >&2
      tail -n 40 "$cache/install-$version.log" >&2
      failed=1
    fi
  done
  flock -u 8
  ((failed == 0)) || exit 1
  cmd_versions
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

cmd_versions() {
  need_root
  local version
  for version in 16 22; do
    [[ -e "$(root_of "$version").complete" ]] || fail "Asterisk $version is not installed: run asterisk.sh install"
    check_version "$version"
  done
}

# --- instances ---------------------------------------------------------------------------------

# Prints the process id when the instance runs. The root directory of the process is compared,
# because a stale file may name a process id that belongs to somebody else by now.
running_pid() {
  local dir pid
  dir=$(outside_of "$1" "$2")
  [[ -r $dir/pid ]] || return 1
  pid=$(<"$dir/pid")
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  [[ $(readlink "/proc/$pid/root" 2>/dev/null) == "$(readlink -f "$(root_of "$1")")" ]] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$inside/$2/etc/" || return 1
  echo "$pid"
}

# Takes the first slot that no instance holds and whose control ports nobody uses.
take_slot() {
  local slot taken listening base offset busy
  taken=" $(cat "$cache"/asterisk*/"${inside#/}"/*/slot 2>/dev/null | tr '\n' ' ') "
  listening=$(ss -Hlntu | awk '{ n = split($5, a, ":"); print a[n] }')
  for ((slot = 0; slot < slots; slot++)); do
    [[ $taken == *" $slot "* ]] && continue
    base=$((first_port + slot * ports_per_slot))
    busy=0
    for offset in 0 1 2; do
      if grep -qx "$((base + offset))" <<<"$listening"; then busy=1; fi
    done
    ((busy)) && continue
    echo "$slot"
    return 0
  done
  fail "all $slots port slots are taken: remove instances (asterisk.sh status lists them)"
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
  if [[ ! -e $dir/slot ]]; then
    (
      flock 9
      slot=$(take_slot)
      echo "$slot" >"$dir/slot"
    ) 9>"$cache/slots.lock"
  fi
  slot=$(<"$dir/slot")
  base=$((first_port + slot * ports_per_slot))
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

run_asterisk() {
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

cmd_run() {
  need_root
  check_instance "$1" "$2"
  if running_pid "$1" "$2" >/dev/null; then fail "$1 $2 runs already"; fi
  configure "$@"
  echo $$ >"$(outside_of "$1" "$2")/pid"
  run_asterisk "$1" "$2" </dev/null
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

cmd_start() {
  need_root
  check_instance "$1" "$2"
  if running_pid "$1" "$2" >/dev/null; then fail "$1 $2 runs already"; fi
  configure "$@"
  local dir
  dir=$(outside_of "$1" "$2")
  # No inherited pipe and no hangup signal: the caller may read our output to its end, or be killed.
  (
    trap '' HUP
    run_asterisk "$1" "$2"
  ) </dev/null >"$dir/log/console" 2>&1 &
  echo $! >"$dir/pid"
  wait_booted "$1" "$2" $!
  cmd_env "$1" "$2"
}

wait_gone() {
  local version=$1 name=$2 tries
  for ((tries = 0; tries < 100; tries++)); do
    running_pid "$version" "$name" >/dev/null || return 0
    sleep 0.05
  done
  return 1
}

cmd_kill() {
  need_root
  check_instance "$1" "$2"
  local pid
  pid=$(running_pid "$1" "$2") || fail "$1 $2 does not run"
  kill -KILL "$pid"
  wait_gone "$1" "$2" || fail "$1 $2 survived SIGKILL"
}

stop_one() {
  local pid
  pid=$(running_pid "$1" "$2") || return 0
  kill -TERM "$pid"
  if ! wait_gone "$1" "$2"; then
    kill -KILL "$pid"
    wait_gone "$1" "$2" || fail "$1 $2 survived SIGKILL"
  fi
}

each_instance() {
  local dir version
  for version in 16 22; do
    for dir in "$(root_of "$version")$inside"/*/; do
      [[ -d $dir ]] || continue
      echo "$version $(basename "$dir")"
    done
  done
}

cmd_stop() {
  need_root
  local version name
  if [[ $1 == all ]]; then
    while read -r version name; do stop_one "$version" "$name"; done < <(each_instance)
    return 0
  fi
  [[ $# -eq 2 ]] || usage
  check_instance "$1" "$2"
  stop_one "$1" "$2"
}

cmd_remove() {
  need_root
  check_instance "$1" "$2"
  stop_one "$1" "$2"
  rm -rf --one-file-system "$(outside_of "$1" "$2")"
}

cmd_status() {
  local version name pid
  while read -r version name; do
    pid=$(running_pid "$version" "$name") || pid=-
    echo "$version $name pid=$pid slot=$(cat "$(outside_of "$version" "$name")/slot" 2>/dev/null || echo -)"
  done < <(each_instance)
}

cmd_env() {
  check_instance "$1" "$2"
  local dir base pid
  dir=$(outside_of "$1" "$2")
  [[ -e $dir/configured ]] || fail "$1 $2 has never been started"
  base=$((first_port + $(<"$dir/slot") * ports_per_slot))
  pid=$(running_pid "$1" "$2") || pid=
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

cmd_wait() {
  need_root
  check_instance "$1" "$2"
  wait_booted "$1" "$2"
}

command=${1:-}
[[ $# -gt 0 ]] && shift
case $command in
  install | versions | status) [[ $# -eq 0 ]] || usage ;;
  stop) [[ $# -eq 2 || ${1:-} == all ]] || usage ;;
  kill | remove | env | wait) [[ $# -eq 2 ]] || usage ;;
  start | run | cli) [[ $# -ge 2 ]] || usage ;;
  *) usage ;;
esac
"cmd_$command" "$@"
