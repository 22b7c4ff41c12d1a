// Counts tokens with npm's tiktoken and gpt-tokenizer: reads JSON lines [encoding, base64 of the bytes], writes a line
// "<tiktoken count> <gpt-tokenizer count>". Used by `go test -tags oracle`.
const tiktoken = require("tiktoken");
const gpt = {
  o200k_base: require("gpt-tokenizer/encoding/o200k_base"),
  cl100k_base: require("gpt-tokenizer/encoding/cl100k_base"),
};
const enc = {};
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [name, data] = JSON.parse(line);
  enc[name] ??= tiktoken.get_encoding(name);
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.from(data, "base64"));
  // gpt-tokenizer reads special tokens in text as special unless told otherwise.
  console.log(enc[name].encode_ordinary(text).length, gpt[name].encode(text, { disallowedSpecial: new Set() }).length);
});
