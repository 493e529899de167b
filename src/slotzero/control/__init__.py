"""Talking to a bot that runs: a socket in the user's state folder, and the commands it takes."""

from slotzero.control.client import ControlClient, find_bot
from slotzero.control.records import PositionView, Status
from slotzero.control.server import serve_control

__all__ = ["ControlClient", "PositionView", "Status", "find_bot", "serve_control"]
