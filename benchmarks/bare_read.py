"""The yardstick of the directory sync: read every person and group by python-ldap, and do nothing.

Called as a process of its own: ``python -m benchmarks.bare_read URL BIND_DN PASSWORD CA BASE``.
"""

from __future__ import annotations

import sys

import ldap
from ldap.controls import SimplePagedResultsControl


def main(url: str, bind_dn: str, password: str, ca: str, base: str) -> None:
    conn = ldap.initialize(url)
    conn.set_option(ldap.OPT_X_TLS_CACERTFILE, ca)
    conn.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    conn.set_option(ldap.OPT_REFERRALS, 0)
    conn.start_tls_s()
    conn.simple_bind_s(bind_dn, password)
    people = _read(conn, f"ou=people,{base}", "(objectClass=inetOrgPerson)")
    groups = _read(conn, f"ou=groups,{base}", "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))")
    print(people, groups)


def _read(conn: ldap.ldapobject.LDAPObject, base: str, query: str) -> int:
    control = SimplePagedResultsControl(True, size=500, cookie="")
    count = 0
    while True:
        asked = conn.search_ext(base, ldap.SCOPE_SUBTREE, query, ["*", "entryUUID"], serverctrls=[control])
        _, rows, _, controls = conn.result3(asked)
        count += sum(1 for dn, _ in rows if dn)
        control.cookie = next(c.cookie for c in controls if c.controlType == control.controlType)
        if not control.cookie:
            return count


if __name__ == "__main__":
    main(*sys.argv[1:])
