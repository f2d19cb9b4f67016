#!/usr/bin/env bash
# A private 389 Directory Server for tests, on loopback, as whoever calls it.
#   ds389.sh start [--dir D] [--port P] [--tls-port P] [--ldif FILE]
#   ds389.sh stop  [--dir D]      ds389.sh env [--dir D]
# Holds dc=example,dc=org: what the LDIF says, loaded when the folder is new.
set -euo pipefail
cmd=${1:-}; [ $# -gt 0 ] && shift
LDIF= PORT=3891 TLSPORT=6361
DIR=${SCIMD_DS389_DIR:-${TMPDIR:-/tmp}/scimd-ds389-$(id -u)}
while [ $# -gt 0 ]; do case $1 in
  --ldif) LDIF=$2; shift 2;; --port) PORT=$2; shift 2;; --tls-port) TLSPORT=$2; shift 2;;
  --dir) DIR=$2; shift 2;; *) echo "unknown option $1" >&2; exit 2;; esac; done
BASE=dc=example,dc=org
DATA=/usr/share/dirsrv/data
SERVER=$(command -v ns-slapd || echo /usr/sbin/ns-slapd)

NAME=ds389 PIDFILE=$DIR/run/pid
. "$(dirname "${BASH_SOURCE[0]}")/private.sh"

certs() {
  mkdir -p "$DIR/tls" "$DIR/conf"; ( cd "$DIR/tls"
  cas; sign_server
  openssl pkcs12 -export -in server.pem -inkey server.key -name Server-Cert -out server.p12 -passout pass:
  certutil -N -d "$DIR/conf" --empty-password
  certutil -A -d "$DIR/conf" -n ca -t CT,, -i ca.pem
  pk12util -i server.p12 -d "$DIR/conf" -W '' -K '' )
}
configure() {
  rm -rf "$DIR/conf" "$DIR/db" "$DIR/run" "$DIR/log"
  mkdir -p "$DIR"/{conf/schema,db,run,log,ldif,bak,lock}
  certs >/dev/null
  echo "certmap default default" >"$DIR/conf/certmap.conf"; : >"$DIR/conf/slapd-collations.conf"
  printf 'dn: cn=schema\nobjectClass: top\nobjectClass: ldapSubentry\nobjectClass: subschema\n' >"$DIR/conf/schema/99user.ldif"
  { cat $DATA/template-dse.ldif; echo; cat $DATA/template-suffix-db.ldif; } | grep -v '^#' | cat -s | sed \
    -e "s,%schema_dir%,$DIR/conf/schema," -e "s,%lock_dir%,$DIR/lock," -e "s,%tmp_dir%,/tmp," \
    -e "s,%cert_dir%,$DIR/conf," -e "s,%config_dir%,$DIR/conf," -e "s,%ldif_dir%,$DIR/ldif," -e "s,%bak_dir%,$DIR/bak," \
    -e "s,%run_dir%,$DIR/run," -e "s,%inst_dir%,$DIR," -e "s,%log_dir%,$DIR/log," -e "s,%fqdn%,localhost," \
    -e "s,%ds_port%,$PORT," -e "s,%ds_user%,$(id -un)," -e "s,%rootdn%,cn=Directory Manager," -e "s,%ds_passwd%,{CLEAR}admin-secret," \
    -e "s,%ldapi_enabled%,off," -e "s,%ldapi%,$DIR/run/ldapi," -e "s,%ldapi_autobind%,off," -e "s,%db_dir%,$DIR/db," \
    -e "s,%db_home_dir%,$DIR/db," -e "s,%db_lib%,mdb," -e "s/%ds_suffix%/$BASE/" -e "s,%ds_bename%,userRoot," |
  awk -v port="$TLSPORT" '{ print } /^dn: cn=config$/ { print "nsslapd-listenhost: 127.0.0.1\nnsslapd-securelistenhost: 127.0.0.1\nnsslapd-security: on\nnsslapd-secureport: " port }' \
    >"$DIR/conf/dse.ldif"
}
load() { # by LDAP, for ldif2db may give two entries one nsUniqueId (2.3.1, into LMDB)
  [ ! -e "$DIR/loaded" ] || return 0
  [ -z "$LDIF" ] || ldapadd -x -H "ldap://127.0.0.1:$PORT" -D "cn=Directory Manager" -w admin-secret -f "$LDIF" >"$DIR/load.out"
  echo "PORT=$PORT TLSPORT=$TLSPORT" > "$DIR/loaded"
}
start() {
  if running >/dev/null; then echo "ds389: already running, pid $(running)"; return; fi
  [ -x "$SERVER" ] || { echo "ns-slapd is missing: apt-get install 389-ds-base" >&2; exit 3; }
  [ -e "$DIR/loaded" ] || configure
  rm -f "$PIDFILE"
  # -d 0: in the foreground, so that it is our child and nothing daemonizes
  setsid nohup "$SERVER" -D "$DIR/conf" -i "$PIDFILE" -d 0 >"$DIR/server.out" 2>&1 </dev/null &
  for _ in $(seq 400); do
    if ldapsearch -x -o nettimeout=1 -H "ldap://127.0.0.1:$PORT" -b '' -s base >/dev/null 2>&1 && running >/dev/null; then
      load; echo "ds389: pid $(running), ldap://127.0.0.1:$PORT ldaps://127.0.0.1:$TLSPORT, $DIR"; return; fi
    kill -0 $! 2>/dev/null || break
    sleep .05; done
  running >/dev/null && stop >/dev/null
  echo "ds389 did not start:" >&2; tail -20 "$DIR/server.out" >&2; tail -20 "$DIR/log/errors" >&2; exit 4
}
case $cmd in
  start) start ;;
  stop) stop ;;
  env) . "$DIR/loaded"; cat <<E
LDAP_URL=ldap://127.0.0.1:$PORT
LDAPS_URL=ldaps://127.0.0.1:$TLSPORT
LDAP_BASE=$BASE
LDAP_ADMIN_DN=cn=Directory Manager
LDAP_ADMIN_PW=admin-secret
LDAP_CA=$DIR/tls/ca.pem
LDAP_WRONG_CA=$DIR/tls/other-ca.pem
E
  ;;
  *) sed -n '2,6p' "$0"; exit 2 ;;
esac
