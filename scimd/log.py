"""Logging: static event names with fields, to stderr, as JSON or for eyes.

Secrets are ``connector_api.Secret``, whose repr is stars; nothing else secret may be passed in.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any, Literal, TextIO, cast

from scimd.core.printable import spelled_out

# structlog loads rich, where it is there, to paint tracebacks with local variables: never wanted here.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    del sys.modules["rich"]
    if _rich is not None:
        sys.modules["rich"] = _rich

#: The request that is being answered, or the run that goes on: every line that is logged meanwhile says so.
CORRELATION: ContextVar[str] = ContextVar("correlation_id")


@contextlib.contextmanager
def about(correlation_id: str) -> Iterator[None]:
    """Say so in each line that is logged in this block."""
    before = CORRELATION.set(correlation_id)
    try:
        yield
    finally:
        CORRELATION.reset(before)


#: What a full disk, a reader that went away, and a stream that is closed or not there raise.
_NOT_WRITTEN = (OSError, ValueError, AttributeError)


#: How long a line waits for a pipe that nobody empties; while lines are lost, none waits.
_PATIENCE_S = 0.2


class _Stderr(io.TextIOBase):
    """Standard error as it is when something is written, not as it was when logging was set up.

    What cannot be written is lost: no log stops or alters what it tells of. So no line waits long for a
    reader that has stopped, whose pipe is full; once there is room again, it is said how many were lost.
    A line goes out at once where it fits: other processes write to the same place.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # what scimd says and what a library says come from several threads
        self._lost = 0
        self._torn = False
        #: The line that says so.
        self.notice: Callable[[int], str] = str

    def write(self, text: str) -> int:
        with contextlib.suppress(*_NOT_WRITTEN):
            try:
                file = sys.stderr.fileno()
            except io.UnsupportedOperation:
                sys.stderr.write(text)
            else:
                sys.stderr.flush()
                with self._lock:
                    self._put(file, text)
        return len(text)

    def _put(self, file: int, text: str) -> None:
        lost = self._lost
        end = time.monotonic() + (0 if lost else _PATIENCE_S)
        if lost and _has_room(file, end):
            text = "\n" * self._torn + f"{self.notice(lost)}\n{text}"
        whole = left = text.encode("utf-8", "backslashreplace")
        while left:
            if not _has_room(file, end):
                self._lost, self._torn = lost + 1, self._torn or left is not whole
                return
            left = left[_written(file, left) :]
        self._lost, self._torn = 0, False

    def flush(self) -> None:
        with contextlib.suppress(*_NOT_WRITTEN):
            sys.stderr.flush()

    def isatty(self) -> bool:
        with contextlib.suppress(*_NOT_WRITTEN):
            return sys.stderr.isatty()
        return False


def _has_room(file: int, end: float) -> bool:
    """Whether ``select.PIPE_BUF`` bytes can be written without waiting, or soon enough."""
    writable = select.poll()
    writable.register(file, select.POLLOUT)
    return bool(writable.poll(max(0.0, end - time.monotonic()) * 1000))


def _written(file: int, data: bytes) -> int:
    """Write what there is room for, in as few pieces as may be; gives how many bytes that was."""
    if stat.S_ISREG(os.fstat(file).st_mode):
        return os.write(file, data)
    if sys.platform == "linux":
        try:
            return os.pwritev(file, [data], -1, os.RWF_NOWAIT)
        except BlockingIOError:
            return 0  # another process was faster
        except OSError as exc:
            if exc.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ESPIPE):
                raise
    return os.write(file, data[: select.PIPE_BUF])  # terminals, and kernels before Linux 6.4


def configure(
    level: Literal["debug", "info", "warning", "error"], style: Literal["auto", "json", "text"]
) -> None:
    """Set up structlog and the standard library's loggers for this process."""
    stderr = _Stderr()
    as_json = style == "json" or (style == "auto" and not stderr.isatty())
    shared: list[Any] = [
        _with_correlation,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering = _as_json() if as_json else _for_eyes(colors=stderr.isatty())
    stderr.notice = _notice([*shared, *rendering])
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, stderr)),
        cache_logger_on_first_use=False,
    )
    _configure_libraries(stderr, shared, rendering)


def _as_json() -> list[Any]:
    """As ``_for_eyes``, without the frames' local variables: they hold passwords and people's data."""
    faults = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(faults), structlog.processors.JSONRenderer(default=str)]


def _for_eyes(*, colors: bool) -> list[Any]:
    return [
        _steering_nothing,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_traceback),
    ]


def _notice(processors: list[Any]) -> Callable[[int], str]:
    """The line of a log that says how many were lost."""

    def lost(lines: int) -> str:
        event: Any = {"event": "log_lines_lost", "component": __name__, "lines": lines}
        for processor in processors:
            event = processor(None, "warning", event)
        return str(event)

    return lost


def _configure_libraries(stderr: _Stderr, shared: list[Any], rendering: list[Any]) -> None:
    """Warnings and worse, in the same stream and form. aiohttp's access log is ours to write."""
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_of_library, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def _of_library(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What a library says is no name of an event."""
    return {**event, "component": event["_record"].name, "event": "library", "message": event["event"]}


def _with_correlation(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (correlation_id := CORRELATION.get(None)) is not None:
        event.setdefault("correlation_id", correlation_id)
    return event


def _steering_nothing(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What libraries and strangers say may come to a terminal; JSON escapes it by itself."""
    return {key: spelled_out(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(into: TextIO, exc_info: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    into.write("\n".join(map(spelled_out, text.getvalue().split("\n"))))


def get(name: str) -> Any:
    """A logger bound to the module's name."""
    return structlog.get_logger(component=name)
