import signal

import pytest

from pipeline.training.interrupts import held_signals, traced_undisturbed


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """Obey Ctrl-C, which a background job of a shell ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_takes_effect_at_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), held_signals():
        signal.raise_signal(signal.SIGINT)
        done.append("traced")
    assert done == ["traced"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_only_the_first_call_of_a_traced_function_is_undisturbed():
    done = []

    def step(number):
        signal.raise_signal(signal.SIGINT)
        done.append(number)

    call = traced_undisturbed(step)
    for number in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            call(number)
    assert done == [1]
