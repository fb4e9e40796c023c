"""Which names a spec may use for networks, blocks, nodes and parameters.

    identifier_error("lambda")   ->  "is a Python keyword"
    identifier_error("width")    ->  None

These names become files, classes, modules and variables of the printed module, so they must not
hide anything it needs. The `*_error` functions return the reason, as the end of a sentence.
"""

from __future__ import annotations

import keyword
import re
import sys

MAX_LENGTH = 40
MAX_INDEX = 99_999  # in a module path
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z|_[A-Za-z0-9_]*[A-Za-z0-9]\Z")
_INDEX = re.compile(r"0\Z|[1-9][0-9]{0,4}\Z")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")

# dir() of torch.nn.Module and its containers, without names that start with `__` (a test compares).
MODULE_NAMES = frozenset(
    ["T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init",
     "children", "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr",
     "float", "forward", "get_buffer", "get_extra_state", "get_parameter", "get_submodule",
     "half", "ipu", "load_state_dict", "modules", "mtia", "named_buffers", "named_children",
     "named_modules", "named_parameters", "parameters", "register_backward_hook",
     "register_buffer", "register_forward_hook", "register_forward_pre_hook",
     "register_full_backward_hook", "register_full_backward_pre_hook",
     "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook",
     "register_module", "register_parameter", "register_state_dict_post_hook",
     "register_state_dict_pre_hook", "requires_grad_", "set_extra_state", "set_submodule",
     "share_memory", "state_dict", "to", "to_empty", "train", "training", "type", "xpu",
     "zero_grad", "append", "clear", "extend", "insert", "items", "keys", "pop", "update",
     "values"]
)  # fmt: skip
PRINTED_NAMES = frozenset(
    ["math", "torch", "nn", "Tensor", "OrderedDict", "self", "super", "range", "isinstance", "max", "min",
     "round", "abs", "int", "float", "bool", "str", "tuple", "dict"]
)  # fmt: skip
RESERVED_CLASSES = (
    "Tensor",
    "OrderedDict",
    "None",
    "True",
    "False",
)  # `camel_case` can return them
NO_VALUE = "none"  # what `inputs:` and `else:` write where there is no value
IMPORTED_MODULES = ("torch", "collections")  # a file of that name would hide the module
# Packages that `import torch` or `import resnetgen` imports, or that torch requires (a test compares).
REQUIRED_PACKAGES = frozenset(
    ["torch", "torchgen", "functorch", "triton", "nvidia", "numpy", "typing_extensions", "tqdm",
     "filelock", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "setuptools",
     "optree", "opt_einsum", "cuda", "resnetgen", "yaml", "pydantic", "pydantic_core",
     "annotated_types", "typing_inspection", "safetensors"]
)  # fmt: skip


def identifier_error(name: str) -> str | None:
    """Why a name cannot be a variable of the printed module; None if it can."""
    if not _IDENTIFIER.match(name):
        return "is not a name: letters, digits and `_`, not starting with a digit"
    if len(name) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a Python keyword"
    if name in PRINTED_NAMES or name.startswith("__"):
        return "is a name that the printed module needs itself"
    return None


def class_name_error(name: str) -> str | None:
    """Why a name cannot be that of a printed class; None if it can."""
    if identifier_error(name) is None and not name.lstrip("_")[:1].isupper():
        return "does not start with a capital letter, as classes do"
    return identifier_error(name)


def path_component_error(name: str) -> str | None:
    """Why a name cannot be one component of a module path; None if it can."""
    if _INDEX.match(name):
        return None
    if name in MODULE_NAMES or name.startswith("_"):
        return "is an attribute of torch.nn.Module"
    if name == "feature_info":
        return "is the attribute in which a printed network describes its outputs"
    return identifier_error(name)


def node_key_error(key: str) -> str | None:
    """Why a name cannot be the key of a node; None if it can. Dots nest: `conv1.0`."""
    if key == NO_VALUE:
        return "means that there is no value, where a node reads it"
    if len(key) > 100:
        return "is longer than 100 characters"
    for component in key.split("."):
        reason = path_component_error(component)
        if reason:
            return reason if component == key else f"contains `{component}`, which {reason}"
    return None


def file_name_error(name: str) -> str | None:
    """Why a name cannot be the name of a network or block and of its file; None if it can."""
    if not _NETWORK.match(name) or ".." in name:
        return "is not a name: letters, digits, `_`, `-` and `.`, starting with a letter or digit"
    if name in IMPORTED_MODULES:
        return "is a module that the printed module imports"
    return f"is longer than {2 * MAX_LENGTH} characters" if len(name) > 2 * MAX_LENGTH else None


def module_file_error(stem: str) -> str | None:
    """Why `STEM.py` would be of no use, or in the way of `import torch`; None if it would not."""
    if keyword.iskeyword(stem):
        return "could not be imported, because its name is a Python keyword"
    if stem in sys.stdlib_module_names or stem in REQUIRED_PACKAGES:
        return f"would hide the module `{stem}`, so that `import torch` beside it may fail"
    return None


def camel_case(name: str) -> str:
    """`preact_bottleneck` -> `PreactBottleneck`, the name of a class."""
    words = re.split(r"[^A-Za-z0-9]+", name)
    text = "".join(word[:1].upper() + word[1:] for word in words)
    return text if text[:1].isalpha() else f"Net{text}"
