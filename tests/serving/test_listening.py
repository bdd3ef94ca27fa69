"""Which socket is taken: the one that was handed over, when it is one."""

import os
import socket
from collections.abc import Iterator

import pytest

from orchboard.errors import SetupError
from orchboard.serving.listening import inherited


@pytest.fixture
def handed() -> Iterator[int]:
    """The descriptor of a socket that listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield listener.detach()


def test_nothing_is_taken_when_nothing_was_handed_over() -> None:
    assert inherited({}, None) is None


def test_a_named_descriptor_is_used(handed: int) -> None:
    with inherited({}, handed) or socket.socket() as listener:
        assert (listener.fileno(), listener.get_inheritable()) == (handed, False)


def test_a_socket_of_systemd_takes_precedence_over_a_named_descriptor(handed: int) -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "HOME": "/"}
    with inherited(environ, 99, first_fd=handed) or socket.socket() as listener:
        assert listener.fileno() == handed
    assert environ == {"HOME": "/"}


def test_descriptors_for_another_process_are_ignored(handed: int) -> None:
    assert inherited({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, None, first_fd=handed) is None
    os.close(handed)


def test_more_than_one_socket_is_refused() -> None:
    with pytest.raises(SetupError, match="LISTEN_FDS is 2"):
        inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}, None)


def test_a_descriptor_without_a_listening_tcp_socket_is_refused_and_stays_open() -> None:
    with socket.socket() as silent, socket.socket(socket.AF_UNIX) as other, open(os.devnull) as file:
        for fd in (silent.fileno(), other.fileno(), file.fileno()):
            with pytest.raises(SetupError, match=f"descriptor {fd} is not a listening TCP socket"):
                inherited({}, fd)
            os.fstat(fd)
