"""The processes of ``scimd serve``, and what goes between them.

On one machine ``serve`` is a family: the first process holds the port and, on SQLite, writes; some answer
HTTP; one is the worker. ``children`` starts and ends them, ``connections`` hands clients' connections to
those who answer, ``calls`` takes what they want written.
"""
