"""libhasten through ctypes: the structs and functions of include/hasten/*.h, nothing more."""
import ctypes
import os
import pathlib
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_float,
                    c_int, c_int32, c_int64, c_size_t, c_uint, c_uint64, c_void_p)

OK = 0
CANCELLED = 9
TOKENIZE_SPECIAL, TOKENIZE_BEGIN = 1, 2
FINISH = ("stop", "length", "cancel")


class ErrorRecord(Structure):
    _fields_ = [("status", c_int), ("message", c_char * 320), ("hint", c_char * 256),
                ("place", c_char * 256)]


PROGRESS = CFUNCTYPE(c_bool, c_void_p, c_char_p, c_uint64, c_uint64)
ON_TEXT = CFUNCTYPE(c_bool, c_void_p, c_void_p, c_size_t)
ON_TOKEN = CFUNCTYPE(None, c_void_p, c_int32)


class ModelOptions(Structure):
    _fields_ = [("size", c_size_t), ("threads", c_int32), ("no_download", c_bool),
                ("context", c_int64), ("cache_positions", c_int64), ("kv_type", c_char_p),
                ("progress", PROGRESS), ("progress_context", c_void_p)]


class ModelInfo(Structure):
    _fields_ = [("size", c_size_t), ("architecture", c_char_p), ("name", c_char_p),
                ("recipe", c_char_p), ("parameters", c_int64), ("layers", c_int64),
                ("embedding", c_int64), ("vocab", c_int64), ("context", c_int64),
                ("context_trained", c_int64), ("threads", c_int32), ("has_tokenizer", c_bool),
                ("has_chat", c_bool)]


class LogitBias(Structure):
    _fields_ = [("id", c_int32), ("bias", c_double)]


class Sampling(Structure):
    _fields_ = [("size", c_size_t), ("seed", c_uint64), ("temperature", c_double),
                ("top_k", c_int64), ("top_p", c_double), ("min_p", c_double),
                ("typical_p", c_double), ("last_n", c_int64), ("repetition_penalty", c_double),
                ("presence_penalty", c_double), ("frequency_penalty", c_double),
                ("logit_bias", POINTER(LogitBias)), ("logit_bias_count", c_int32)]


class GenerateOptions(Structure):
    _fields_ = [("size", c_size_t), ("max_tokens", c_int64), ("sampling", POINTER(Sampling)),
                ("stop", POINTER(c_char_p)), ("stop_count", c_int32), ("ignore_end", c_bool),
                ("whole_prompt", c_bool), ("on_text", ON_TEXT), ("on_token", ON_TOKEN),
                ("context", c_void_p)]


class Result(Structure):
    _fields_ = [("size", c_size_t), ("finish", c_int), ("prompt_tokens", c_int64),
                ("reused_tokens", c_int64), ("completion_tokens", c_int64),
                ("prompt_ns", c_uint64), ("first_token_ns", c_uint64), ("decode_ns", c_uint64),
                ("gap_p50_ns", c_uint64), ("gap_p99_ns", c_uint64)]


class Message(Structure):
    _fields_ = [("role", c_char_p), ("content", c_char_p)]


# name: (result, arguments); a result of c_int is a status
FUNCTIONS = {
    "hasten_version": (c_char_p, []),
    "hasten_status_name": (c_char_p, [c_int]),
    "hasten_model_options_fill": (None, [POINTER(ModelOptions), c_size_t]),
    "hasten_model_open_named": (c_int, [c_char_p, POINTER(ModelOptions), POINTER(ErrorRecord),
                                        POINTER(c_void_p)]),
    "hasten_model_close": (None, [POINTER(c_void_p)]),
    "hasten_model_get_info": (c_int, [c_void_p, POINTER(ErrorRecord), POINTER(ModelInfo)]),
    "hasten_sampling_fill": (None, [POINTER(Sampling), c_size_t]),
    "hasten_text_tokenize": (c_int, [c_void_p, c_char_p, c_size_t, c_uint, POINTER(ErrorRecord),
                                     POINTER(POINTER(c_int32)), POINTER(c_size_t)]),
    "hasten_text_detokenize": (c_int, [c_void_p, POINTER(c_int32), c_size_t, c_bool,
                                       POINTER(ErrorRecord), POINTER(c_void_p),
                                       POINTER(c_size_t)]),
    "hasten_chat_render": (c_int, [c_void_p, POINTER(Message), c_size_t, POINTER(ErrorRecord),
                                   POINTER(c_void_p), POINTER(c_size_t)]),
    "hasten_memory_free": (None, [c_void_p]),
    "hasten_sequence_open": (c_int, [c_void_p, POINTER(ErrorRecord), POINTER(c_void_p)]),
    "hasten_sequence_close": (None, [POINTER(c_void_p)]),
    "hasten_sequence_length": (c_int64, [c_void_p]),
    "hasten_sequence_rewind": (c_int, [c_void_p, c_int64, POINTER(ErrorRecord)]),
    "hasten_sequence_feed": (c_int, [c_void_p, POINTER(c_int32), c_size_t, POINTER(ErrorRecord),
                                     POINTER(c_float)]),
    "hasten_generate_options_fill": (None, [POINTER(GenerateOptions), c_size_t]),
    "hasten_sequence_generate": (c_int, [c_void_p, POINTER(c_int32), c_size_t,
                                         POINTER(GenerateOptions), POINTER(ErrorRecord),
                                         POINTER(Result)]),
    "hasten_sequence_cancel": (None, [c_void_p]),
}


def _load():
    """HASTEN_LIBRARY, else the library beside this file, else the system's."""
    beside = pathlib.Path(__file__).with_name("libhasten.so")
    named = os.environ.get("HASTEN_LIBRARY") or (str(beside) if beside.exists() else "libhasten.so.0")
    library = ctypes.CDLL(named)
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


lib = _load()


def filled(kind, fill):
    """A struct with the library's defaults."""
    struct = kind()
    fill(byref(struct), ctypes.sizeof(struct))
    return struct
