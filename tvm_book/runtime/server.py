"""Let this machine run models for others: ``python -m tvm_book.runtime.server``.

It is TVM's RPC server, which knows in addition what `tvm_book.runtime.upload` asks: whether this
CPU can run a model, and to set its threads. Whoever can reach its port can run any code here: open
it in trusted networks only. One client is served at a time; the next one waits.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import tvm_ffi
from tvm import rpc
from tvm.support.popen_pool import kill_child_processes

from ..backend import default_threads, use_threads
from ._description import refused
from ._remote import CANNOT_RUN, USE_THREADS

__all__ = ["LocalServer", "main"]

_PORTS = 100  # are tried, one after the other
_FOLDER = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 10


class LocalServer:
    """A server on this machine, for this machine only: a device to try things out on.

    Its processes end with `close`, or when this process ends, in whatever way.

    Parameters
    ----------
    port : int, optional
        The first port to try; those that are taken are passed over.
    timeout : float, optional
        Seconds to wait for it to start.

    Attributes
    ----------
    host : str
    port : int
        Where it listens.

    Raises
    ------
    RuntimeError
        It did not start; the message ends with what it wrote.
    TimeoutError
        It did not start in time.

    Examples
    --------
    >>> import tvm
    >>> with LocalServer() as server:
    ...     session = tvm.rpc.connect(server.host, server.port, session_timeout=60)
    ...     session.get_function("tvm_book.use_threads")(1)  # runs over there
    1
    """

    def __init__(self, port: int = 9190, timeout: float = 60) -> None:
        self.host = "127.0.0.1"
        command = [sys.executable, "-m", __name__, "--host", self.host, "--port", str(port)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_search_path())}
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*command, "--until-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        try:
            self.port = self._read_port(timeout)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End its processes, and whatever sessions there are."""
        if self._process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            pipe.close()

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalServer({self.host}:{self.port})"

    def _read_port(self, timeout: float) -> int:
        start = time.monotonic()
        watch = threading.Timer(timeout, self._process.kill)  # which ends the reading
        watch.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if line:
            return int(line.rsplit(":", 1)[1])
        if time.monotonic() - start >= timeout:
            raise TimeoutError(f"the server did not start within {timeout} s: raise timeout=")
        self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"the server did not start: {said[-1] if said else 'it said nothing'}")


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted or terminated."""
    parser = argparse.ArgumentParser(description="Run models for other machines.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 is all networks")
    parser.add_argument("--port", type=int, default=9090, help="the first one to try")
    parser.add_argument("--key", default="", help="what clients have to call it")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    options = parser.parse_args(arguments)
    for name in ("cloudpickle", "psutil"):  # which TVM imports without depending on them
        if importlib.util.find_spec(name) is None:
            raise SystemExit(f'a server needs {name}: pip install "tvm-book[rpc]"')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = rpc.Server(
        options.host,
        options.port,
        options.port + _PORTS,
        key=options.key,
        silent=True,
        server_init_callback=prepare,
    )
    try:
        print(f"listening on {options.host}:{server.port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read() if options.until_eof else server.proc.join()
    finally:
        server.terminate()  # and its sessions, which would go on holding the port


def prepare() -> None:
    """Make the functions known that sessions ask for; runs in the process that makes sessions."""
    if sys.platform == "linux":  # only a fork knows them too; it is no longer Python's default
        multiprocessing.set_start_method("fork", force=True)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    register: Any = tvm_ffi.register_global_func
    register(CANNOT_RUN, lambda text: refused(json.loads(text)) or "", override=True)
    register(USE_THREADS, lambda n: use_threads(n or default_threads()), override=True)


def _end_with(parent: int) -> None:
    """End this process and its sessions when the one that started it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    kill_child_processes(os.getpid())
    os._exit(1)


def _search_path() -> list[str]:
    """Return where a fresh process finds this package too, even a clone without installation."""
    return [str(_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]


if __name__ == "__main__":
    from tvm_book.runtime import server as this_module  # its functions are known by that name

    this_module.main()
