"""Tells of lost locks: one thread looks after all that a process holds."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from linklock._core import Notice


class Watch:
    """A lock whose loss somebody wants to know. It keeps neither the lock nor the object that holds it."""

    __slots__ = ('_loss', '_owner', '_on_lost', 'tick_s')

    def __init__(self, loss: Notice, owner: object, on_lost: Callable[[], object], lifetime_s: float):
        self._loss = loss
        self._owner = weakref.ref(owner)
        self._on_lost = on_lost
        self.tick_s = min(1.0, lifetime_s / 50)

    def begin(self) -> None:
        # Before the thread is asked for: it ends only if it finds none.
        _watched.add(self)
        try:
            _watcher.start(self.tick_s)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        _watched.discard(self)

    def look(self) -> None:
        if self._owner() is None:
            self.end()
        elif self._loss.is_lost:
            try:
                _watched.remove(self)
            except KeyError:  # Released meanwhile, or told.
                return
            try:
                # Whatever on_lost does must not keep the others' losses from being told.
                threading.Thread(target=self._on_lost, name='linklock-on-lost', daemon=True).start()
            except RuntimeError:  # No thread is to be had: the next look tries again.
                _watched.add(self)


#: Each call of the set is atomic, so a signal handler and a garbage collection may use it too.
_watched: set[Watch] = set()


class _Watcher:
    """The thread. It is a daemon that waits only in Python, so the interpreter can end at any time."""

    def __init__(self) -> None:
        # Reentrant for signal handlers.
        self._lock = threading.RLock()
        self._sooner = threading.Event()
        self._pause_s = 0.0
        self._is_running = False

    def start(self, tick_s: float) -> None:
        with self._lock:
            if not self._is_running:
                self._pause_s = tick_s
                threading.Thread(target=self._run, name='linklock-losses', daemon=True).start()
                self._is_running = True
            elif tick_s < self._pause_s:
                self._sooner.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._sooner.clear()
                watched = list(_watched)
                if not watched:
                    self._is_running = False
                    return
                self._pause_s = min(watch.tick_s for watch in watched)
            self._sooner.wait(self._pause_s)
            for watch in list(_watched):
                watch.look()


_watcher = _Watcher()


def _forked() -> None:
    """The parent's locks stay with the parent, as does its thread."""
    global _watcher
    _watched.clear()
    _watcher = _Watcher()


os.register_at_fork(after_in_child=_forked)
