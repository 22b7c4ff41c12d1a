// Measures the npm packages: reads [{name, text}], writes {name: {package: {mbs, tokens}}}, MB for each CPU second.
const tiktoken = require("tiktoken").get_encoding("o200k_base");
const gpt = require("gpt-tokenizer/encoding/o200k_base");
const contenders = {
  "npm tiktoken": (s) => tiktoken.encode_ordinary(s).length,
  "npm gpt-tokenizer": (s) => gpt.countTokens(s, { disallowedSpecial: new Set() }),
};
const cpu = () => { const u = process.cpuUsage(); return u.user + u.system; };
const out = {};
for (const { name, text } of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
  out[name] = {};
  const bytes = Buffer.byteLength(text);
  for (const [who, count] of Object.entries(contenders)) {
    let tokens = 0;
    for (let i = 0; i < Math.max(1, 200000 / bytes); i++) tokens = count(text); // let the compiler see it
    const start = cpu();
    let times = 0, spent = 0;
    while (spent < 100000) {
      for (let i = 0; i < Math.max(1, 50000 / bytes); i++) { count(text); times++; }
      spent = cpu() - start;
    }
    out[name][who] = { mbs: (times * bytes) / spent, tokens };
  }
}
console.log(JSON.stringify(out));
