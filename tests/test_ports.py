import socket

from pipeline.ports import HOST, free_port


def test_the_wanted_port_is_taken_where_it_is_free_and_another_one_where_not():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port
