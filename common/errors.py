"""The one exception that means "the user can mend this": scripts print it as one line and exit with 2."""


class InputError(ValueError):
    """Bad input (unknown data set, damaged file, impossible option); the message names a remedy."""
