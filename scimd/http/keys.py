"""What every handler finds in its application."""

from __future__ import annotations

from aiohttp import web

from scimd.config import Config
from scimd.org.tx import Door

CONFIG = web.AppKey("config", Config)
DOOR = web.AppKey("door", Door)
