"""For plugin authors and for us: strategies, contracts, fault injection."""

import sys

if "pytest" in sys.modules:  # so that an inherited test shows what it compared
    sys.modules["pytest"].register_assert_rewrite("ckptkit.testing.trainer_contract")
