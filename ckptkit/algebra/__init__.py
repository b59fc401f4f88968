"""The algebra of migrators: operations over names and lazy tensors, run when they are read.

Every operation is a value; ``run`` applies several, ``inverse_of`` gives the way back.
"""

from ckptkit.algebra.cast import Cast
from ckptkit.algebra.custom import Custom
from ckptkit.algebra.fills import Fill, Pad
from ckptkit.algebra.initial import Eye, Normal
from ckptkit.algebra.migrator import migrator
from ckptkit.algebra.names import Drop, Rename
from ckptkit.algebra.operation import Action, Applied, Operation
from ckptkit.algebra.parts import Concat, Split
from ckptkit.algebra.run import Ran, inverse_of, run
from ckptkit.algebra.shapes import Reshape, Slice, Transpose
from ckptkit.algebra.stacks import Stack, Unstack
from ckptkit.algebra.step import Step
from ckptkit.algebra.ties import check_ties
from ckptkit.protocols import SectionMigrator

__all__ = [
    "Action",
    "Applied",
    "Cast",
    "Concat",
    "Custom",
    "Drop",
    "Eye",
    "Fill",
    "Normal",
    "Operation",
    "Pad",
    "Ran",
    "Rename",
    "Reshape",
    "SectionMigrator",
    "Slice",
    "Split",
    "Stack",
    "Step",
    "Transpose",
    "Unstack",
    "check_ties",
    "inverse_of",
    "migrator",
    "run",
]
