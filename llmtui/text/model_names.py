"""Names of models, compared: a file's, a Hugging Face name, an Ollama tag."""

from __future__ import annotations

import functools
import re

#: Longer names are not names of models. It also bounds the work, because names come from servers.
MAX_CHARS = 300

#: Parts of a name that do not name the model: file type, weights, format, that it is made for chats, and the digest
#: in the name of a file that llmtui made.
_NOT_THE_MODEL = re.compile(
    r"\.(gguf|llamafile|safetensors|bin)$|-\d{5}-of-\d{5}$|[-_.:@](latest|instruct|it|chat|hf|gguf|ggml|awq|gptq|mlx|exl[23]"
    r"|i?q\d\w*(?:-[0-9a-f]{12}(?=\.gguf$))?|tq\d\w*|bf16|f16|fp16|f32|fp32|fp8|mxfp[48]|nvfp4|nf4"
    r"|ud|qat|imatrix|quantized|dynamic|w\d+a\d+|int[48]|\d+bit)(?=$|[-_.:@])"
)
_FOR_CHATS = re.compile(r"(^|[-_.:@])(instruct|it|chat)($|[-_.:@])")
_FILE = re.compile(r"\.(gguf|llamafile|safetensors|bin)$", re.IGNORECASE)
#: Who made the model, where a file name or a folder name begins with it.
_MAKERS = re.compile(
    r"^(meta|google|qwen|microsoft|mistralai|huggingfacetb|deepseek-ai|nvidia|ibm-granite|ai21labs|cohereforai)[-_]"
    r"(?=(llama|gemma|qwen|phi|mistral|ministral|smollm|deepseek|nemotron|granite))"
)
#: Names that servers of one model give it.
NAMELESS = frozenset({"", "default", "model", "none"})
_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)*[a-z]*")


@functools.lru_cache(256)
def model_family(name: str) -> str:
    """Return a model's name without folder, maker, file type and weights.

    It is the same for "llama3.2:1b" and "models/Llama-3.2-1B-Instruct-Q4_K_M.gguf": "llama 3.2 1b".
    """
    last = _last_part(name)[-MAX_CHARS:]
    while (shorter := _NOT_THE_MODEL.sub("", last)) != last:
        last = shorter
    return " ".join(_WORD.findall(_MAKERS.sub("", last)))


def without_folder(name: str) -> str:
    """Return the file name if `name` is the path of a file, else `name`: "org/Name" stays whole."""
    path = name.replace("\\", "/").rstrip("/")
    is_path = path.startswith(("/", "./", "../", "~/")) or path[1:3] == ":/" or _FILE.search(path)
    return path.rpartition("/")[2] if is_path else name


def same_model(name: str, wanted: str) -> bool:
    """Whether both names mean the same model; its weights may be quantized differently.

    Names that leave the size out are another model than those with a size: "smollm2:latest" may be of any size.
    """
    if len(name) > MAX_CHARS or len(wanted) > MAX_CHARS:
        return False
    if name == wanted:
        return name != ""
    family = model_family(name)
    if not family or family != model_family(wanted):
        return False
    # On Hugging Face, "org/Name" is the base model of "org/Name-Instruct". Ollama's tags and aliases mean the latter.
    return not (_is_base_of(name, wanted) or _is_base_of(wanted, name))


def may_be_same(name: str, other: str) -> bool:
    """Whether two names may be those of one model: one has no name, or is within the other by whole words."""
    short, long = sorted((model_family(name), model_family(other)), key=len)
    return short in NAMELESS or f" {short} " in f" {long} "


def _is_base_of(name: str, other: str) -> bool:
    bare = "/" in name and ":" not in name and not _FOR_CHATS.search(_last_part(name))
    return bare and _FOR_CHATS.search(_last_part(other)) is not None


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
