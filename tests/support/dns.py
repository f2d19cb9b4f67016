"""A real name server on loopback, with the TXT records that a test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, records: Mapping[str, list[str]]) -> None:
        self._records = records

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        name = query.question[0].name
        texts = self._records.get(name.to_text(omit_final_dot=True).lower())
        if texts is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            quoted = ['"' + text.replace('"', r"\"") + '"' for text in texts]
            answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", "TXT", quoted))
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def name_server(records: Mapping[str, list[str]]) -> AsyncIterator[str]:
    """Serve these records, which may change while it runs; gives ``address:port``."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(records), local_addr=("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")
    try:
        yield f"{host}:{port}"
    finally:
        transport.close()
