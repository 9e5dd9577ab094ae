"""A sweep on a cluster of real Ray nodes and services gives the same results as `dvc repro`."""

import re

from tests.cluster.sweeps import assert_all_is_well, run_sweep


def test_a_sweep_on_a_cluster_ends_as_the_serial_repro(project, cluster, shared, serial):
    output = run_sweep(project, cluster)
    assert re.search(r"\[2/2\] baseline-dropblock-\d of .*, all done", output)
    assert_all_is_well(project, shared, serial)
    assert "experiments: 1, already recorded: 1" in run_sweep(project, cluster)
