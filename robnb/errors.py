"""The one exception that robnb raises for input a person can put right."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, said in one sentence that ends with what to do.

    The command line prints the sentence alone and exits with 2; a notebook shows it in place of a traceback, wherever
    it runs (JupyterLab, papermill, nbval). Anything else that is raised is a defect of robnb.
    """

    def __init__(self, sentence: str) -> None:
        # torch's DataLoader raises a worker's exception again with the worker's whole traceback as its message.
        super().__init__(sentence.rsplit("robnb.errors.UserError: ", 1)[-1].strip())

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of an uncaught exception, as lines; its ``%debug`` still gets to where this was raised."""
        return [f"{UserError.__name__}: {self}"]
