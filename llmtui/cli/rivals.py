"""Options of other load tools (vLLM bench serve, SGLang, AIPerf, guidellm, genai-bench), answered with llmtui's own.

The options that mean the same here are accepted under both names; see llmtui.cli.options. Pure.
"""

from __future__ import annotations

_LENGTHS = "use --mix with the lengths of prompts and answers in tokens: 'D(512,128)', 'N(480,240)/(300,150)' or chat"
_DATASET = "use --prompts FILE: its fields say which format it has (llmtui explain prompts)"
_PROMPT = "write prompt = '...' in [run] of the config, or use --prompts FILE"
_ADDRESS = "name the server by its address: llmtui run http://HOST:PORT"
_PROTOCOL = 'write protocol = "openai" or "ollama" in its [[backend]]'
_KEYS = "write api_key or headers in its [[backend]] of the config"
_WARMUP = "use --warmup N: one turn at each level, after N requests, that do not count"
_SETTLE = "write settle = N in [load]: requests at the start of a turn that do not count"
_LOADS = "use --concurrency LIST for a closed loop, or --request-rate LIST for an open one"
_RAMP = "a turn keeps its load; for several loads list them, such as --concurrency 1,4,16 or --request-rate 1,2,4"
_OBJECTIVE = "use --slo ttft=0.2,tpot=0.05,share=0.95 (seconds), or --goodput ttft:200 tpot:50 (milliseconds)"
_SEARCH = "use --search knee, or --search slo with --slo ttft=0.2,share=0.95"
_FILES = "use --csv, --json, --markdown or --jsonl FILE; the history keeps every run"
_TOKENIZER = "llmtui needs none: it uses the token counts that servers report, and says where they are missing"
_STREAMED = "answers are streamed; to ask for whole ones write stream = false in the [[backend]]"
_EXTRA = "write options = { ... } in its [[backend]]"
_PERCENTILES = "llmtui reports the percentiles that the number of requests allows: p50, p90, p95 and p99"
_QUIET = "use -q"
_SAMPLING = "write it in [run] of the config"
_SHOWN = "it is always shown"

#: What to use instead of an option of another tool. Each belongs to the first in its row.
_INSTEAD: dict[str, tuple[str, ...]] = {
    _LENGTHS: (
        "--random-range-ratio",
        "--random-prefix-len",
        "--input-len",
        "--output-len",
        "--sharegpt-output-len",
        "--custom-output-len",
        "--synthetic-input-tokens-mean",
        "--synthetic-input-tokens-stddev",
        "--output-tokens-mean",
        "--output-tokens-stddev",
        "--prompt-input-tokens-mean",
        "--prompt-output-tokens-mean",
        "--isl-osl-pairs",
        "--traffic-scenario",
    ),
    _DATASET: (
        "--dataset-name",
        "--data",
        "--data-args",
        "--custom-dataset-type",
        "--public-dataset",
        "--num-dataset-entries",
        "--hf-split",
        "--hf-subset",
        "--prompt-file",
    ),
    _PROMPT: ("--prompt",),
    "write seed = N in [run] of the config; it decides which prompts are asked": ("--random-seed",),
    'write sample = "in order" in [prompts] of the config': ("--disable-shuffle", "--dataset-sampling-strategy"),
    _ADDRESS: ("--base-url", "--url", "--target", "--host-url", "--api-base", "-u", "--endpoint", "--backend-url"),
    _PROTOCOL: ("--backend", "--endpoint-type", "--api-backend", "--task", "--service-kind", "--request-type"),
    _KEYS: ("--header", "--headers", "--api-key", "--auth", "-H"),
    _WARMUP: (
        "--num-warmups",
        "--warmup-requests",
        "--warmup-request-count",
        "--num-warmup-requests",
        "--warmup-duration",
        "--warmup-ratio",
        "--warmup-percent",
    ),
    _SETTLE: ("--cooldown", "--cooldown-ratio", "--cooldown-percent", "--benchmark-grace-period"),
    _LOADS: (
        "--rate",
        "--rate-type",
        "--streams",
        "--num-concurrency",
        "--batch-size",
        "--max-num-seqs",
        "--request-concurrency",
        "--prefill-concurrency",
    ),
    _RAMP: (
        "--ramp-up-strategy",
        "--ramp-up-start-rps",
        "--ramp-up-end-rps",
        "--ramp-up",
        "--rampup",
        "--spawn-rate",
        "--concurrency-ramp-duration",
        "--request-rate-ramp-duration",
    ),
    _OBJECTIVE: ("--sla", "--sla-params", "--goodput-config"),
    _SEARCH: (
        "--search-recipe",
        "--search-space",
        "--adaptive-scale",
        "--adaptive-scale-sla",
        "--sla-variable",
        "--workload-var",
        "--workload-iters",
    ),
    f"{_LOADS}; {_SEARCH}": ("--profile", "--sweep-size"),
    _FILES: (
        "--save-result",
        "--save-detailed",
        "--append-result",
        "--result-dir",
        "--result-filename",
        "--output-file",
        "--output-path",
        "--output-dir",
        "--output-artifact-dir",
        "--artifact-dir",
        "--profile-export-file",
        "--metadata",
        "--outputs",
    ),
    _TOKENIZER: ("--tokenizer", "--tokenizer-mode", "--tokenizer-id", "--processor", "--trust-remote-code"),
    _STREAMED: ("--streaming", "--stream", "--disable-stream", "--no-stream"),
    _EXTRA: ("--extra-body", "--extra-inputs", "--extra-request-body", "--backend-kwargs", "--backend-args"),
    _PERCENTILES: ("--percentile-metrics", "--metric-percentiles", "--percentiles"),
    _QUIET: ("--disable-tqdm", "--no-progress", "--disable-progress", "--no-ui", "--ui", "--ui-type"),
    _SAMPLING: ("--temperature", "--seed", "--top-p", "--top-k", "--min-p", "--timeout", "--request-timeout-seconds"),
    "use --burstiness N": ("--arrival-smoothness", "--smoothness"),
    "use --arrival poisson, constant or gamma": ("--arrival-pattern", "--load-pattern", "--request-rate-mode"),
    "use --request-rate LIST": ("--target-qps", "--qps", "--rps"),
    "use --requests N": ("--max-requests", "--max-requests-per-run", "--num-requests", "--num-sessions", "-n"),
    "use --duration SECONDS": ("--max-seconds", "--max-duration", "--max-time-per-run", "--time"),
    "use --rounds N": ("--num-runs", "--num-profile-runs", "--repeat", "--repetitions", "--runs"),
    "write full_length = true in [run], which is the default": ("--ignore-eos", "--disable-ignore-eos"),
    "write model in its [[backend]], or use --model NAME": ("--served-model-name", "--model-names", "--model-name"),
    "use --label TEXT": ("--tag", "--name", "--experiment-name"),
    "write fresh_prompt = true in [run], which is the default: no prefix cache answers a prompt": (
        "--flush-cache",
        "--prefix-len",
        "--no-prefix-caching",
    ),
    "use --users N --turns N: each user holds one conversation after another": (
        "--session-turns-mean",
        "--conversation-turn-mean",
        "--session-concurrency",
        "--multi-turn",
    ),
    "use --think SECONDS: how long a user thinks after each answer, on average": (
        "--requeue-delay",
        "--session-turn-delay-mean",
        "--conversation-turn-delay-mean",
    ),
    "use --trace FILE, which sends its requests at its times": (
        "--use-trace-timestamps",
        "--fixed-schedule",
        "--self-timed",
        "--trace-file",
    ),
    "use --time-scale N: 2 replays a trace twice as fast": ("--mooncake-slowdown-factor", "--trace-scale"),
}
_OF = {option: instead for instead, options in _INSTEAD.items() for option in options}


def instead_of(option: str) -> str:
    """Return what to use instead of another tool's option, a whole sentence; "" if it is unknown."""
    return f"there is no {option}; {_OF[option]}" if option in _OF else ""
