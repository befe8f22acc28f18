"""What other libraries say that is no news stays out of sight; everything else of theirs is still heard."""

import logging

import pytest

from remot.commands.environment import quiet_libraries


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("bitsandbytes.backends.cpu.ops", "Failed to load CPU gemm_4bit_forward from kernels-community: no module"),
        ("lightning.pytorch.utilities.rank_zero", "Tip: try litlogger"),
    ],
)
def test_only_what_is_listed_is_left_out(name, unwanted, caplog):
    logger = logging.getLogger(name)
    logger.addHandler(caplog.handler)  # these libraries do not all hand their records on
    before = list(logger.filters)
    try:
        quiet_libraries()
        logger.warning(unwanted)
        logger.warning("something is wrong")
        assert {record.message for record in caplog.records} == {"something is wrong"}
    finally:
        logger.removeHandler(caplog.handler)
        logger.filters[:] = before
