"""Runs llama.cpp's own HTTP server, from the xllamacpp package, until it is killed."""

from __future__ import annotations

import argparse
import signal
import sys


def main() -> None:
    """Load the model and serve. If loading fails, exit with code 1; llama.cpp prints the cause on stderr."""
    options = argparse.ArgumentParser()
    options.add_argument("--model", required=True)
    options.add_argument("--alias", required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--threads", type=int, required=True)
    options.add_argument("--ctx", type=int, required=True)
    options.add_argument("--slots", type=int, required=True)
    options.add_argument("--gpu-layers", type=int, default=0)
    args = options.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.n_ctx = args.ctx
    params.n_parallel = args.slots
    params.n_gpu_layers = args.gpu_layers
    params.cpuparams.n_threads = args.threads
    params.cpuparams_batch.n_threads = args.threads
    params.offline = True
    params.fit_params = False
    params.ui = False
    params.endpoint_props = True
    # On exit the server waits for the next ping of an open stream: by default 30 s.
    params.sse_ping_interval = 1
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        sys.exit(f"llama.cpp: {error}")
    # SIGTERM keeps its default action, so that open streams do not delay the exit.
    while server:
        signal.pause()


if __name__ == "__main__":
    main()
