"""What a module of filelock's has inside. A test may import it, and fails if it uses it."""


class StandIn:
    def __init__(self, name):
        self._name = name

    def __call__(self, *args, **kwargs):
        raise AssertionError(f"linklock has no {self._name}")

    def __getattr__(self, name):
        raise AttributeError(f"linklock has no {self._name}.{name}")


def stand_in(name):
    """A module's `__getattr__`."""
    if name.startswith("__"):
        raise AttributeError(name)
    return StandIn(name)
