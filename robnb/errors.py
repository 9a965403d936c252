"""The one exception that robnb raises for input a person can put right."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, said in one sentence that ends with what to do.

    The command line prints the sentence alone and exits with 2; a notebook shows it as the last line
    of its traceback. Anything else that is raised is a defect of robnb.
    """
