"""What an address may look like: of this server, of others, of mail, of a domain."""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.utils import getaddresses
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from scimd.core.people import domain_key

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
#: What no address holds as it is: white space, control characters, what a page or a header would trip over.
_STRANGE = re.compile(r"[^!-~]|[\"<>\\^`{|}]")


def base_url(value: str) -> str:
    """The address that links and locations begin with: scheme, host and port, as browsers spell them."""
    parts = _split(value)
    if parts is None or parts.username is not None or "?" in value or "#" in value:
        raise ValueError("must be an address such as https://scimd.example.com, without query or credentials")
    if parts.path.strip("/"):
        raise ValueError(
            f"must be an address without a path, such as {parts.scheme}://{parts.netloc}: the page is at "
            "home at the root. Give scimd a host name of its own"
        )
    host = parts.hostname or ""
    host = f"[{ip_address(host)}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (
        "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    )


def https_address(value: str | None) -> str | None:
    if value is None:
        return None
    parts = _split(value)
    fits = parts is not None and parts.username is None and parts.port != 0 and not parts.fragment
    if parts is not None and fits and (parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1")):
        return value
    raise ValueError("must be an https address without credentials; http only on 127.0.0.1 and [::1]")


def web_address(value: str | None) -> str | None:
    """Where a link for people leads."""
    if value is not None and _split(value) is None:
        raise ValueError("must be an address that begins with https:// or http://")
    return value


def _split(value: str) -> SplitResult | None:
    """The parts of an http or https address that names a host; None for anything else."""
    try:
        parts = urlsplit(value)
        named = _is_host(parts.hostname or "") and (parts.port is not None or parts.netloc[-1] != ":")
    except ValueError:  # of the brackets, or of the port
        return None
    strange = _STRANGE.search(value)
    return parts if named and not strange and value.startswith(("http://", "https://")) else None


def _is_host(value: str) -> bool:
    if ":" in value or value.replace(".", "").isdigit():
        return _is_ip(value)
    return bool(_NAME.fullmatch(value))


def _is_ip(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def own_host(value: str) -> str:
    """A host to listen on."""
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not _is_host(bare.partition("%")[0]):
        raise ValueError(
            'must be an address or a name of this machine: "127.0.0.1", "::1"; all of its addresses are '
            '"::", those of IPv4 "0.0.0.0"'
        )
    return bare


def network(value: str) -> str:
    """An address, or a network with its length; what IPv6 calls one of IPv4 is that of IPv4."""
    try:
        found = ip_network(value)
    except ValueError as exc:
        raise ValueError("must be an address or a network such as 10.0.0.0/8 or fd00::/8") from exc
    if isinstance(found, IPv6Network) and found.subnet_of(_MAPPED):
        bare = found.network_address.ipv4_mapped
        found = IPv4Network((int(bare or 0), found.prefixlen - _MAPPED.prefixlen))
        value = str(found)
    if not found.prefixlen:
        raise ValueError("is every address there is: anybody could say where they come from")
    return value


def name_server(value: str) -> str:
    """An address with or without a port; an IPv6 address with a port stands in brackets."""
    address, colon, port = value.rpartition(":")
    bare = address.removeprefix("[").removesuffix("]")
    with_port = (
        bool(colon)
        and _is_ip(bare)
        and (":" in bare) == address.startswith("[")
        and re.fullmatch(r"[0-9]{1,5}", port) is not None
        and 0 < int(port) < 65536
    )
    if not (_is_ip(value) or with_port):
        raise ValueError('must be an address, with or without a port: "192.0.2.53", "[2001:db8::53]:5353"')
    return value


def domain(value: str) -> str:
    """A mail domain as it is compared, also of another script; never a whole top level."""
    name = domain_key(value)
    if "." not in name or not _NAME.fullmatch(name) or _is_ip(name):
        raise ValueError(f"{value!r} is not a domain such as acme.example")
    return name


def mailbox(value: str) -> str:
    """One mail address, with or without a name before it: ``scimd <scimd@example.com>``."""
    found = getaddresses([value]) if value.isprintable() else []
    try:
        (name, address) = found[0] if len(found) == 1 else ("", "")
        Address(name, addr_spec=address)
    except (ValueError, IndexError):
        address = ""
    if "@" not in address:
        raise ValueError('must be one mail address, such as "scimd <scimd@example.com>"')
    if not address.isascii():  # only servers with SMTPUTF8 would take it
        raise ValueError("must have its domain as the DNS has it, in ASCII (xn--…)")
    return value
