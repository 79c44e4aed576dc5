"""How a run that was asked to stop says that it did."""


class Interrupted(Exception):
    """The run was asked to stop; what it had is in its checkpoint."""
