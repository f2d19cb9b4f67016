#!/usr/bin/env bash
# A private OpenLDAP for tests, on loopback, as whoever calls it.
#   openldap.sh start  [--users N] [--accesslog] [--dir D] [--port P] [--tls-port P]
#   openldap.sh reset  (the same options; back to the pristine data, then start)
#   openldap.sh stop   [--dir D]      openldap.sh env [--dir D]      openldap.sh install
# Tree: dc=example,dc=org; people in ou=<city>,ou=people; groupOfNames in ou=groups; posixGroup in ou=posix.
# The pristine database of every (N, accesslog) is kept in the cache folder, so a second reset is a file copy.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cmd=${1:-}; [ $# -gt 0 ] && shift
USERS=200 PORT=3890 TLSPORT=6360 ACCESSLOG=0 SEED=scimd
DIR=${SCIMD_OPENLDAP_DIR:-${TMPDIR:-/tmp}/scimd-openldap-$(id -u)}
while [ $# -gt 0 ]; do case $1 in
  --users) USERS=$2; shift 2;; --port) PORT=$2; shift 2;; --tls-port) TLSPORT=$2; shift 2;;
  --dir) DIR=$2; shift 2;; --seed) SEED=$2; shift 2;; --accesslog) ACCESSLOG=1; shift;;
  *) echo "unknown option $1" >&2; exit 2;; esac; done
BASE=dc=example,dc=org
CACHE=${SCIMD_OPENLDAP_CACHE:-$DIR-cache}
SLAPD=$(command -v slapd || echo /usr/sbin/slapd)

NAME=openldap PIDFILE=$DIR/run/slapd.pid
. "$(dirname "${BASH_SOURCE[0]}")/private.sh"

certs() {
  [ -s "$DIR/tls/ca.pem" ] && return; mkdir -p "$DIR/tls"; ( cd "$DIR/tls"
  cas; sign_server
  sign client "/O=example/CN=scimd-sync" "extendedKeyUsage=clientAuth"; rm -f ./*.csr )
}
configure() {
  rm -rf "$DIR/slapd.d" "$DIR/db" "$DIR/log"; mkdir -p "$DIR/slapd.d" "$DIR/db" "$DIR/log" "$DIR/run"; chmod 700 "$DIR/slapd.d"
  certs
  { cat <<L
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: $PIDFILE
olcArgsFile: $DIR/run/slapd.args
olcLogLevel: none
olcServerID: 1
olcThreads: 8
olcTLSCACertificateFile: $DIR/tls/ca.pem
olcTLSCertificateFile: $DIR/tls/server.pem
olcTLSCertificateKeyFile: $DIR/tls/server.key
olcTLSVerifyClient: allow
olcAuthzRegexp: {0}"gidNumber=$(id -g)\\+uidNumber=$(id -u),cn=peercred,cn=external,cn=auth" "cn=admin,$BASE"
olcAuthzRegexp: {1}"cn=scimd-sync,o=example" "uid=scimd-sync,ou=services,$BASE"
olcAuthzRegexp: {2}"uid=([^,]*),cn=[^,]*,cn=auth" "uid=\$1,ou=services,$BASE"

dn: cn=module{0},cn=config
objectClass: olcModuleList
cn: module{0}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb
olcModuleLoad: memberof
olcModuleLoad: refint
olcModuleLoad: syncprov
olcModuleLoad: accesslog
olcModuleLoad: ppolicy
olcModuleLoad: sssvlv

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

include: file:///etc/ldap/schema/cosine.ldif

include: file:///etc/ldap/schema/nis.ldif

include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase={-1}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {-1}frontend
olcSizeLimit: 500
olcSortVals: member memberUid
olcAccess: {0}to dn.base="" by * read
olcAccess: {1}to dn.base="cn=Subschema" by * read

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcRootDN: cn=admin,$BASE
olcAccess: {0}to * by dn.exact="cn=admin,$BASE" manage by * none

L
  local hostdb=1
  if [ "$ACCESSLOG" = 1 ]; then hostdb=2; cat <<L
dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcDbDirectory: $DIR/log
olcSuffix: cn=accesslog
olcRootDN: cn=admin,$BASE
olcDbIndex: entryCSN,objectClass,reqEnd,reqResult,reqStart eq
olcDbMaxSize: 4294967296
olcDbEnvFlags: nosync
olcLimits: {0}* size=unlimited time=unlimited
olcAccess: {0}to * by dn.children="ou=services,$BASE" read by * none

dn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcSyncProvConfig
olcOverlay: {0}syncprov
olcSpNoPresent: TRUE
olcSpReloadHint: TRUE

L
  fi
  cat <<L
dn: olcDatabase={$hostdb}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {$hostdb}mdb
olcDbDirectory: $DIR/db
olcSuffix: $BASE
olcRootDN: cn=admin,$BASE
olcRootPW: admin-secret
olcDbMaxSize: 8589934592
olcDbEnvFlags: nosync
olcDbIndex: objectClass,entryUUID,entryCSN,employeeNumber,member,uniqueMember,memberOf,memberUid,manager,uidNumber,gidNumber eq
olcDbIndex: uid,mail,cn,sn,givenName eq,sub
olcDbIndex: modifyTimestamp eq
olcLimits: {0}dn.exact="uid=scimd-sync,ou=services,$BASE" size=unlimited time=unlimited
olcLimits: {1}dn.exact="uid=scimd-limited,ou=services,$BASE" size=500 size.pr=500 size.prtotal=unlimited time=unlimited
olcAccess: {0}to attrs=userPassword by self write by anonymous auth by * none
olcAccess: {1}to * by dn.children="ou=services,$BASE" read by self read by anonymous auth by * none

dn: olcOverlay={0}ppolicy,olcDatabase={$hostdb}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcPPolicyConfig
olcOverlay: {0}ppolicy

dn: olcOverlay={1}memberof,olcDatabase={$hostdb}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcMemberOfConfig
olcOverlay: {1}memberof
olcMemberOfRefInt: TRUE
olcMemberOfDangling: ignore

dn: olcOverlay={2}syncprov,olcDatabase={$hostdb}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcSyncProvConfig
olcOverlay: {2}syncprov
olcSpCheckpoint: 100 1
olcSpSessionlog: 10000

L
  [ "$ACCESSLOG" = 1 ] && cat <<L
dn: olcOverlay={3}accesslog,olcDatabase={$hostdb}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcAccessLogConfig
olcOverlay: {3}accesslog
olcAccessLogDB: cn=accesslog
olcAccessLogOps: writes
olcAccessLogSuccess: TRUE

L
  true; } > "$DIR/config.ldif"
  /usr/sbin/slapadd -q -n0 -F "$DIR/slapd.d" -l "$DIR/config.ldif"
}
load() {
  configure
  local c="$CACHE/$SEED-$USERS-$(cat "$here/gen_people.py" "$here/gen_ldif.py" | sha256sum | cut -c1-12).mdb"
  if [ ! -s "$c" ]; then
    mkdir -p "$CACHE"; python3 "$here/gen_ldif.py" "$USERS" --seed "$SEED" > "$DIR/data.ldif"
    /usr/sbin/slapadd -q -w -F "$DIR/slapd.d" -b "$BASE" -l "$DIR/data.ldif"; rm "$DIR/data.ldif"
    cp --sparse=always "$DIR/db/data.mdb" "$c.$$"; mv "$c.$$" "$c"
  else cp --sparse=always "$c" "$DIR/db/data.mdb"; fi
  echo "$USERS $ACCESSLOG $SEED" > "$DIR/state"
}
start() {
  if running >/dev/null; then echo "openldap: already running, pid $(running)"; return; fi
  [ -x "$SLAPD" ] || { echo "slapd is missing: $0 install" >&2; exit 3; }
  [ "$(cat "$DIR/state" 2>/dev/null)" = "$USERS $ACCESSLOG $SEED" ] || load
  local sock; sock=$(printf %s "$DIR/run/ldapi" | sed 's,/,%2F,g')
  # slapd reserves memory for every file that it might open, which is gigabytes where the limit is a container's
  ulimit -Sn 1024 2>/dev/null || true
  rm -f "$PIDFILE"
  # -d 0: in the foreground, so that it is our child and nothing daemonizes
  setsid nohup "$SLAPD" -d 0 -F "$DIR/slapd.d" -h "ldap://127.0.0.1:$PORT/ ldaps://127.0.0.1:$TLSPORT/ ldapi://$sock/" \
    >"$DIR/slapd.out" 2>&1 </dev/null &
  for _ in $(seq 200); do
    if ldapsearch -x -o nettimeout=1 -H "ldap://127.0.0.1:$PORT" -b '' -s base >/dev/null 2>&1 && running >/dev/null; then
      echo "PORT=$PORT TLSPORT=$TLSPORT" > "$DIR/ports"; echo "openldap: pid $(running), ldap://127.0.0.1:$PORT ldaps://127.0.0.1:$TLSPORT, $USERS users, $DIR"; return; fi
    kill -0 $! 2>/dev/null || break
    sleep .05; done
  running >/dev/null && stop >/dev/null
  echo "openldap did not start:" >&2; cat "$DIR/slapd.out" >&2; exit 4
}
case $cmd in
  install) DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slapd ldap-utils libsasl2-modules openssl ;;
  start) start ;;
  stop) stop ;;
  reset) stop; rm -f "$DIR/state"; start ;;
  env) . "$DIR/ports"; cat <<E
LDAP_URL=ldap://127.0.0.1:$PORT
LDAPS_URL=ldaps://127.0.0.1:$TLSPORT
LDAPI_URL=ldapi://$(printf %s "$DIR/run/ldapi" | sed 's,/,%2F,g')
LDAP_BASE=$BASE
LDAP_BIND_DN=uid=scimd-sync,ou=services,$BASE
LDAP_BIND_PW=sync-secret
LDAP_LIMITED_DN=uid=scimd-limited,ou=services,$BASE
LDAP_LIMITED_PW=limited-secret
LDAP_ADMIN_DN=cn=admin,$BASE
LDAP_ADMIN_PW=admin-secret
LDAP_CA=$DIR/tls/ca.pem
LDAP_WRONG_CA=$DIR/tls/other-ca.pem
LDAP_CLIENT_CERT=$DIR/tls/client.pem
LDAP_CLIENT_KEY=$DIR/tls/client.key
E
  ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
