"""hasten: fast answers from trained models.

    import hasten
    with hasten.open("smollm2-135m") as model:
        question = "What is the capital of France? Answer in one word."
        print(model.chat([{"role": "user", "content": question}]))
        for piece in model.stream("Once upon a time", max_tokens=40):
            print(piece, end="", flush=True)

Threads: one model may be used by many threads; their steps take turns, and calls release the
interpreter lock. A Chat belongs to one thread at a time. Results depend on the model, the options and
the prompt only, not on what else runs.

Sampling options (keywords of generate, stream, chat, Chat.send): temperature (default 0: greedy),
top_k, top_p, min_p, typical_p, seed, repetition_penalty, presence_penalty, frequency_penalty, last_n,
logit_bias ({token: bias}). Others: max_tokens (-1: until the end), stop (texts), ignore_end.
"""
import collections
import ctypes
import queue
import threading
from ctypes import byref, c_char_p, c_int32, c_size_t, c_void_p

from . import _library as _c
from ._library import lib as _lib

__all__ = ["open", "Model", "Chat", "Error", "Result", "version", "__version__"]

__version__ = _lib.hasten_version().decode()

Result = collections.namedtuple(
    "Result", "text finish prompt_tokens reused_tokens completion_tokens prompt_ns first_token_ns "
    "decode_ns gap_p50_ns gap_p99_ns")
Result.__doc__ = """A finished answer: its text, why it ended ("stop", "length", "cancel"), counts of
tokens and times in nanoseconds (struct hasten_result)."""

_SAMPLING = {name for name, _ in _c.Sampling._fields_} - {"size", "logit_bias_count"}


def version():
    """Version of the library."""
    return __version__


class Error(Exception):
    """A failure of the library: status ("not_found"), message, hint (what to do), place (where)."""

    def __init__(self, status, message, hint="", place=""):
        self.status, self.message, self.hint, self.place = status, message, hint, place
        text = message + (f" ({hint})" if hint else "") + (f" [{place}]" if place else "")
        super().__init__(text)


def _check(status, record):
    if status != _c.OK:
        raise Error(_lib.hasten_status_name(status).decode(),
                    *(getattr(record, name).decode("utf-8", "replace")
                      for name in ("message", "hint", "place")))


def _take_text(pointer, size):
    try:
        return ctypes.string_at(pointer, size.value).decode("utf-8", "replace")
    finally:
        _lib.hasten_memory_free(pointer)


def open(name=None, *, threads=0, context=0, cache_positions=0, kv_type=None, download=True,
         progress=None):
    """Opens a model: a name of the catalog (None: its default), fetched when missing, or the path
    of a GGUF file. progress(what, done_bytes, total_bytes) is told about a download; returning
    False cancels it. Models with terms of use are fetched only with a progress function, which must
    show what it is told ("terms: ..."). Raises Error."""
    options = _c.filled(_c.ModelOptions, _lib.hasten_model_options_fill)
    options.threads, options.context = threads, context
    options.cache_positions, options.no_download = cache_positions, not download
    options.kv_type = kv_type.encode() if kv_type else None
    raised = []

    def tell(_, what, done, total):
        try:
            return progress(what.decode("utf-8", "replace"), done, total) is not False
        except BaseException as exception:  # pylint: disable=broad-except
            raised.append(exception)  # C cannot carry it
            return False

    if progress:
        options.progress = _c.PROGRESS(tell)
    record, handle = _c.ErrorRecord(), c_void_p()
    status = _lib.hasten_model_open_named(str(name).encode() if name is not None else None,
                                          byref(options), byref(record), byref(handle))
    if raised:
        raise raised[0]
    _check(status, record)
    return Model(handle)


class _Closing:
    """Context manager and finalizer over close()."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        try:
            self.close()
        except Exception:  # the interpreter may be half gone
            pass


class Model(_Closing):
    """An opened model; made by hasten.open."""

    def __init__(self, handle):
        self._handle = handle

    def close(self):
        """Gives the model back; chats and streams that run keep it alive until they end."""
        if self._handle:
            _lib.hasten_model_close(byref(self._handle))

    def _need(self):
        if not self._handle:
            raise ValueError("the model is closed")
        return self._handle

    @property
    def info(self):
        """What struct hasten_model_info says, as a dict."""
        record, info = _c.ErrorRecord(), _c.ModelInfo()
        info.size = ctypes.sizeof(info)
        _check(_lib.hasten_model_get_info(self._need(), byref(record), byref(info)), record)
        values = {name: getattr(info, name) for name, _ in info._fields_ if name != "size"}
        return {name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                for name, value in values.items()}

    def tokenize(self, text, *, special=False, begin=False):
        """Token ids of a text (str or bytes). special: special tokens written out count; begin: the
        begin token in front where the model wants one."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
        forms = (_c.TOKENIZE_SPECIAL if special else 0) | (_c.TOKENIZE_BEGIN if begin else 0)
        record, count = _c.ErrorRecord(), c_size_t()
        tokens = ctypes.POINTER(c_int32)()
        _check(_lib.hasten_text_tokenize(self._need(), data, len(data), forms, byref(record),
                                         byref(tokens), byref(count)), record)
        try:
            return tokens[:count.value]
        finally:
            _lib.hasten_memory_free(tokens)

    def detokenize(self, tokens, *, special=False):
        """Text of token ids. special: special tokens are written out."""
        array = (c_int32 * max(len(tokens), 1))(*tokens)
        record, text, size = _c.ErrorRecord(), c_void_p(), c_size_t()
        _check(_lib.hasten_text_detokenize(self._need(), array, len(tokens), special,
                                           byref(record), byref(text), byref(size)), record)
        return _take_text(text, size)

    def render(self, messages):
        """The conversation as the model's template writes it, up to the next answer. messages: dicts
        with role and content."""
        array = (_c.Message * max(len(messages), 1))()
        for slot, message in zip(array, messages):
            slot.role, slot.content = message["role"].encode(), message["content"].encode()
        record, text, size = _c.ErrorRecord(), c_void_p(), c_size_t()
        _check(_lib.hasten_chat_render(self._need(), array, len(messages), byref(record),
                                       byref(text), byref(size)), record)
        return _take_text(text, size)

    def generate(self, prompt, **options):
        """Continues a text (or a list of tokens) and returns what follows it."""
        return self.complete(prompt, **options).text

    def complete(self, prompt, **options):
        """As generate, but returns the whole Result."""
        with _Sequence(self) as sequence:
            return sequence.run(_prompt_tokens(self, prompt), options)

    def stream(self, prompt, **options):
        """Continues a text piece by piece: an iterator over str. Closing it (or leaving the loop)
        cancels the generation."""
        return _stream(_Sequence(self), _prompt_tokens(self, prompt), options, close=True)

    def chat(self, messages, *, stream=False, **options):
        """The model's answer to a conversation: a text, or with stream=True an iterator."""
        prompt = self.render(messages)
        return self.stream(prompt, **options) if stream else self.generate(prompt, **options)

    def open_chat(self, system=None):
        """A Chat that keeps what was said and computes only what is new."""
        return Chat(self, system)


def _prompt_tokens(model, prompt):
    if isinstance(prompt, (str, bytes)):
        return model.tokenize(prompt, special=True, begin=True)
    return list(prompt)


class Chat(_Closing):
    """A conversation with one model. `messages` may be read and changed between answers."""

    def __init__(self, model, system=None):
        self._model, self._sequence = model, _Sequence(model)
        self.messages = [{"role": "system", "content": system}] if system else []
        self.result = None  # Result of the last answer of send()

    def close(self):
        self._sequence.close()

    def send(self, text, **options):
        """Says something and returns the answer. A turn that failed never was."""
        said = self.messages + [{"role": "user", "content": text}]
        tokens = _prompt_tokens(self._model, self._model.render(said))
        self.result = self._sequence.run(tokens, {**options, "whole_prompt": True})
        self.messages = said + [{"role": "assistant", "content": self.result.text}]
        return self.result.text


class _Sequence(_Closing):
    """hasten_sequence and the marshalling of one generation."""

    def __init__(self, model):
        self._handle = c_void_p()
        record = _c.ErrorRecord()
        _check(_lib.hasten_sequence_open(model._need(), byref(record), byref(self._handle)), record)

    def close(self):
        if self._handle:
            _lib.hasten_sequence_close(byref(self._handle))

    def cancel(self):
        _lib.hasten_sequence_cancel(self._handle)

    def generate(self, tokens, options, take):
        """Blocks until the end; take(bytes) is told whole characters and returns False to stop."""
        struct, keep = _generate_options(options)
        raised = []

        def on_text(_, text, size):
            try:
                return take(ctypes.string_at(text, size)) is not False
            except BaseException as exception:  # pylint: disable=broad-except
                raised.append(exception)  # C cannot carry it
                return False

        struct.on_text = callback = _c.ON_TEXT(on_text)
        array = (c_int32 * max(len(tokens), 1))(*tokens)
        record, result = _c.ErrorRecord(), _c.Result()
        result.size = ctypes.sizeof(result)
        status = _lib.hasten_sequence_generate(self._handle, array, len(tokens), byref(struct),
                                               byref(record), byref(result))
        del keep, callback
        if raised:
            raise raised[0]
        _check(status, record)
        return result

    def run(self, tokens, options):
        """Generates on a thread of its own, so that Ctrl-C is seen meanwhile and cancels."""
        pieces = []
        for piece in _stream(self, tokens, options, close=False, keep=(kept := [])):
            pieces.append(piece)
        result = kept[0]
        values = {name: getattr(result, name) for name in Result._fields if name != "text"}
        values["finish"] = _c.FINISH[result.finish]
        return Result(text="".join(pieces), **values)


def _generate_options(options):
    """The struct for keyword options, and what must stay alive with it."""
    options = dict(options)
    struct = _c.filled(_c.GenerateOptions, _lib.hasten_generate_options_fill)
    sampling = _c.filled(_c.Sampling, _lib.hasten_sampling_fill)
    stop = options.pop("stop", None) or []
    stop = [stop] if isinstance(stop, str) else list(stop)
    texts = (c_char_p * max(len(stop), 1))(*(text.encode() for text in stop))
    bias = options.pop("logit_bias", None) or {}
    biases = (_c.LogitBias * max(len(bias), 1))(*bias.items())
    sampling.logit_bias, sampling.logit_bias_count = biases, len(bias)
    struct.stop, struct.stop_count = texts, len(stop)
    for name, value in options.items():
        if name in _SAMPLING:
            setattr(sampling, name, value)
        elif name in ("max_tokens", "ignore_end", "whole_prompt"):
            setattr(struct, name, value)
        else:
            raise TypeError(f"unknown option '{name}'")
    struct.sampling = ctypes.pointer(sampling)
    return struct, (sampling, texts, biases)


def _stream(sequence, tokens, options, close, keep=None):
    """Generator over the pieces of an answer. The library runs on a thread of its own; the queue
    between holds (piece, None), then (None, exception or result)."""
    _generate_options(options)  # wrong ones fail here, not at the first piece
    return _pieces(sequence, tokens, options, close, keep)


def _pieces(sequence, tokens, options, close, keep):
    pipe, is_closed = queue.SimpleQueue(), threading.Event()

    def take(data):
        pipe.put((data.decode("utf-8", "replace"), None))
        return not is_closed.is_set()

    def work():
        try:
            pipe.put((None, sequence.generate(tokens, options, take)))
        except BaseException as exception:  # pylint: disable=broad-except
            pipe.put((None, exception))

    thread = threading.Thread(target=work, name="hasten-generate", daemon=True)
    thread.start()
    try:
        while True:
            piece, end = pipe.get()
            if end is None:
                yield piece
            elif isinstance(end, BaseException):
                raise end
            else:
                if keep is not None:
                    keep.append(end)
                return
    finally:
        is_closed.set()
        while thread.is_alive():  # the call may not have begun when the first cancel came
            sequence.cancel()
            thread.join(0.01)
        if close:
            sequence.close()
