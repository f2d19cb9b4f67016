#!/usr/bin/env bash
# Proves that the directory answers as README.md says; openldap.sh must have started it.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ok=0; bad=0
is() { if [ "$2" = "$3" ]; then ok=$((ok+1)); else bad=$((bad+1)); echo "FAILED $1: wanted $3, got $2"; fi; }
ge() { if [ "$2" -ge "$3" ] 2>/dev/null; then ok=$((ok+1)); else bad=$((bad+1)); echo "FAILED $1: wanted at least $3, got $2"; fi; }
set -a; . <("$here/openldap.sh" env); set +a
q() { ldapsearch -x -LLL -o ldif-wrap=no -H "$LDAP_URL" -D "$LDAP_BIND_DN" -w "$LDAP_BIND_PW" "$@" 2>&1; }
n=$(q -b "ou=people,$LDAP_BASE" '(employeeNumber=E*)' 1.1 | grep -c ^dn); ge people "$n" 1
is paged "$(q -E pr=50/noprompt -b "ou=people,$LDAP_BASE" '(employeeNumber=E*)' 1.1 | grep -c ^dn)" "$n"
is all-staff "$(q -b "cn=all-staff,ou=groups,$LDAP_BASE" -s base member | grep -c ^member)" "$n"
is memberOf "$(q -b "ou=people,$LDAP_BASE" "(memberOf=cn=all-staff,ou=groups,$LDAP_BASE)" 1.1 | grep -c ^dn)" "$n"
is ldaps "$(LDAPTLS_CACERT=$LDAP_CA ldapwhoami -x -H "$LDAPS_URL" -D "$LDAP_BIND_DN" -w "$LDAP_BIND_PW" 2>&1)" "dn:$LDAP_BIND_DN"
is starttls "$(LDAPTLS_CACERT=$LDAP_CA ldapwhoami -x -ZZ -H "$LDAP_URL" -D "$LDAP_BIND_DN" -w "$LDAP_BIND_PW" 2>&1)" "dn:$LDAP_BIND_DN"
LDAPTLS_CACERT=$LDAP_WRONG_CA ldapwhoami -x -ZZ -H "$LDAP_URL" >/dev/null 2>&1; is wrong-ca "$(( $? != 0 ))" 1
is external "$(LDAPTLS_CACERT=$LDAP_CA LDAPTLS_CERT=$LDAP_CLIENT_CERT LDAPTLS_KEY=$LDAP_CLIENT_KEY ldapwhoami -Q -Y EXTERNAL -H "$LDAPS_URL" 2>&1)" "dn:$LDAP_BIND_DN"
is scram "$(ldapwhoami -Q -Y SCRAM-SHA-256 -U scimd-sync -w "$LDAP_BIND_PW" -H "$LDAP_URL" 2>&1)" "dn:$LDAP_BIND_DN"
is syncrepl "$(ldapsearch -x -LLL -H "$LDAP_URL" -D "$LDAP_BIND_DN" -w "$LDAP_BIND_PW" -E sync=ro -b "ou=people,$LDAP_BASE" '(employeeNumber=E*)' 1.1 2>&1 | grep -c ^dn)" "$n"
echo "$ok passed, $bad failed"; [ $bad = 0 ]
