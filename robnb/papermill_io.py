"""Lets papermill read percent ``.py`` files as notebooks: ``papermill notebooks/01_fixed_feature.py out.ipynb``.

papermill loads :data:`handler` from the entry-point group ``papermill.io`` when it is imported. It chooses handlers
by how a path *begins*, and a notebook is known by how its path *ends*; so ours takes every path and passes on,
to the handler that papermill would have chosen, all that is not a percent file.
"""

from __future__ import annotations

import ast
import warnings

import jupytext
import nbformat

from robnb.errors import UserError

#: What a notebook without a kernel in its header is given; papermill needs all three fields.
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def as_ipynb(text: str) -> str:
    """The notebook of a percent file, as ipynb JSON without outputs.

    The jupytext header is left out: JupyterLab would take an executed notebook that keeps it for one half of a
    pair and refuse to open it.
    """
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata.pop("jupytext", None)
    notebook.metadata.setdefault("kernelspec", dict(_KERNEL))
    return nbformat.writes(notebook)


class PercentHandler:
    """A papermill I/O handler (``read``, ``write``, ``listdir``, ``pretty_path``, ``cwd``)."""

    def read(self, path: str) -> str:
        text = _next_handler(path).read(path)
        if not path.endswith(".py"):
            return text
        return as_ipynb(text.decode() if isinstance(text, bytes) else text)

    def write(self, buf: str, path: str) -> object:
        """Write an executed notebook.

        Raises:
            UserError: the path is that of a percent file, the source of a notebook.
        """
        if path.endswith(".py"):
            raise UserError(f"an executed notebook cannot go to {path}: give a path that ends in .ipynb.")
        return _next_handler(path).write(buf, path)

    def listdir(self, path: str) -> list[str]:
        return _next_handler(path).listdir(path)

    def pretty_path(self, path: str) -> str:
        return _next_handler(path).pretty_path(path)

    def cwd(self, new_path: str | None) -> str | None:
        """papermill sets the folder of local reads and writes on whatever handles the scheme "local"."""
        return _next_handler("local").cwd(new_path)


def _next_handler(path: str) -> object:
    """The handler that papermill would have chosen without ours: the first whose scheme begins the path, else local."""
    others = [(scheme, other) for scheme, other in iorw.papermill_io._handlers if other is not handler]
    matching = [other for scheme, other in others if path.startswith(scheme)]
    return matching[0] if matching else dict(others)["local"]


handler = PercentHandler()

# At the bottom, because importing papermill loads this module's `handler` through the entry point.
from papermill import iorw  # noqa: E402
from papermill.translators import PythonTranslator, papermill_translators  # noqa: E402

iorw.papermill_io.register("", handler)  # every path begins with ""


class TypesOfLiterals(PythonTranslator):
    """papermill's own translator takes a parameter's type from an annotation; here its default says it as well."""

    @classmethod
    def inspect(cls, parameters_cell: nbformat.NotebookNode) -> list:
        found = super().inspect(parameters_cell)
        return [one._replace(inferred_type_name=_type_of(one)) for one in found]


def _type_of(parameter: tuple) -> str:
    """``int``, ``list[str]``, ``dict``; papermill shows "None" as an unknown type."""
    try:
        default = ast.literal_eval(parameter.default)
    except (SyntaxError, ValueError):
        return parameter.inferred_type_name
    if parameter.inferred_type_name != "None" or default is None:
        return parameter.inferred_type_name
    inside = {type(item).__name__ for item in default} if isinstance(default, list) else set()
    return type(default).__name__ + (f"[{inside.pop()}]" if len(inside) == 1 else "")


papermill_translators.register("python", TypesOfLiterals)
# papermill says "does not end in one of ['.ipynb', '.json']" for every percent file that it reads.
warnings.filterwarnings("ignore", message=r"The specified file \(.*\.py\) does not end in one of")
