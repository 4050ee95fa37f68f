"""Start the genuine inference server on 127.0.0.1 only, and end it with standard input.

Runs in the genuine server's own environment. But for the address, everything is as the command `azmlinfsrv` does it.
"""

import os
import signal
import threading

import azureml_inference_server_http.amlserver as server  # type: ignore[import-not-found]


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


server.DEFAULT_HOST = "127.0.0.1"
threading.Thread(target=_end_with_stdin, daemon=True).start()
server.run()
