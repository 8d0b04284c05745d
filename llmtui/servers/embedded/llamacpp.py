"""llama.cpp's own HTTP server, out of the xllamacpp package, on one port until it is killed."""

from __future__ import annotations

import argparse
import signal
import sys


def main() -> None:
    """Load, serve, wait. A load that fails ends with exit code 1; llama.cpp has said why on stderr."""
    options = argparse.ArgumentParser()
    options.add_argument("--model", required=True)
    options.add_argument("--alias", required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--threads", type=int, required=True)
    options.add_argument("--ctx", type=int, required=True)
    given = options.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = given.model
    params.model_alias = {given.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = given.port
    params.n_ctx = given.ctx
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = given.threads
    params.cpuparams_batch.n_threads = given.threads
    params.offline = True
    params.fit_params = False
    params.ui = False
    params.endpoint_props = True
    # Its end waits for the next ping of an open stream, 30 s when left alone.
    params.sse_ping_interval = 1
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        sys.exit(f"llama.cpp: {error}")
    # SIGTERM keeps its default: nothing here is worth the wait for a stream to end.
    while server:
        signal.pause()


if __name__ == "__main__":
    main()
