"""Small nets are fastest on one thread."""

from net_contract import one_thread  # noqa: F401
