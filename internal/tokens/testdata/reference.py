"""Counts tokens with the reference implementation: reads JSON lines [encoding, base64 of the bytes], writes one count a line.

Used by `go test -tags oracle` with a tiktoken that it installs into a temporary folder, and to make reference.json.
TIKTOKEN_CACHE_DIR must hold the .tiktoken files, each under the SHA-1 of its address: nothing is downloaded.
"""
import base64, json, sys
import tiktoken

encodings = {}
for line in sys.stdin:
    name, data = json.loads(line)
    if name not in encodings:
        encodings[name] = tiktoken.get_encoding(name)
    text = base64.b64decode(data).decode("utf-8", errors="replace")
    print(len(encodings[name].encode_ordinary(text)), flush=True)
