#!/usr/bin/env python3
"""Writes what an OpenAI-compatible server of embeddings says of a few texts:

    llama-server -m model-f32.gguf --embeddings --pooling last --port 8081
    llama-server -m model.gguf --embeddings --pooling last --port 8082
    tests/golden/make_embeddings.py http://127.0.0.1:8081 http://127.0.0.1:8082 >tests/golden/NAME.json

The first URL's vectors are kept (base64 of little-endian f32), of the second's only the cosine with
them: what a quantized file costs there.
"""
import array
import base64
import json
import math
import sys
import urllib.request

TEXTS = ["hello world", "The quick brown fox jumps over the lazy dog.", "Paris is the capital of France.",
         "def f(x):\n    return x * x", "Ein Satz auf Deutsch, mit Umlauten: äöü.", "light " * 300]


def embed(url):
    body = json.dumps({"input": TEXTS}).encode()
    request = urllib.request.Request(url + "/v1/embeddings", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return [item["embedding"] for item in json.load(answer)["data"]]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def main():
    rows = [{"text": text, "peer_quantized_cosine": round(cosine(exact, quantized), 7),
             "f32": base64.b64encode(array.array("f", exact).tobytes()).decode()}
            for text, exact, quantized in zip(TEXTS, embed(sys.argv[1]), embed(sys.argv[2]))]
    json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
