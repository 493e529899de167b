"""Which store a configuration asks for."""

from pathlib import Path

from slotzero.clock import Clock
from slotzero.config import JournalSettings
from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.trading.journal.journal import Journal
from slotzero.trading.journal.sqlite import SqliteJournal

__all__ = ["open_journal"]


def open_journal(settings: JournalSettings, chain: str, *, default: Path, clock: Clock) -> Journal:
    """Return the journal a configuration asks for, to be entered.

    Args:
        settings: `url` asks for PostgreSQL, else `path` names a file.
        chain: The chain's genesis hash.
        default: The file when neither is set.
        clock: For the wall-clock time of each event.

    Raises:
        UsageError: PostgreSQL is asked for and its driver is not installed, or the password's file cannot be used.
    """
    if not settings.url:
        path = Path(settings.path).expanduser() if settings.path else default
        return SqliteJournal(path, chain, clock=clock)
    try:
        # Here: who keeps a file needs no driver.
        from slotzero.trading.journal.postgres import PostgresJournal  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"[journal] url needs the PostgreSQL driver ({error}); install it from the checkout with "
            "`.venv/bin/python -m pip install -e '.[postgres]'`"
        ) from error
    return PostgresJournal(
        settings.url, chain, bot=settings.bot, password=_password(settings.password_file), clock=clock
    )


def _password(file: str) -> Secret[str] | None:
    if not file:
        return None  # libpq looks for one itself, in PGPASSFILE and ~/.pgpass
    from slotzero.trading.wallets.passwords import PasswordSource  # noqa: PLC0415 it loads a keystore's cryptography

    return PasswordSource(file=Path(file).expanduser()).read()
