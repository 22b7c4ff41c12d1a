// Command tokens compares the speed of internal/tokens with what one would use instead: tiktoken-go, tiktoken-go/tokenizer and, where
// npm is there, the npm packages tiktoken (the reference compiled to WASM) and gpt-tokenizer.
//
//	cd test/bench/tokens && go run .
//
// It is a module of its own, so that the product does not depend on its rivals. All count the same texts in the same run, in
// turns; a number is the median over the rounds of megabytes for each second of CPU time, which a busy machine disturbs less than
// wall-clock time.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pkoukk/tiktoken-go"
	tiktoken_loader "github.com/pkoukk/tiktoken-go-loader"
	"github.com/tiktoken-go/tokenizer"

	"github.com/mcpsiem/mcpsiem/internal/tokens"
)

//go:embed bench.js
var benchJS []byte

const encoding = "o200k_base"

// text is something to count.
type text struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// contender counts tokens.
type contender struct {
	name  string
	count func(string) int
}

// result is what one contender did with one text in one round.
type result struct {
	MBs    float64 `json:"mbs"`
	Tokens int     `json:"tokens"`
}

func main() {
	rounds := flag.Int("rounds", 5, "rounds")
	root := flag.String("root", "../../..", "the repository")
	npm := flag.Bool("npm", true, "install and measure the npm packages too")
	flag.Parse()
	runtime.GOMAXPROCS(1)

	texts, err := readTexts(*root)
	if err != nil {
		log.Fatal(err)
	}
	contenders, err := goContenders()
	if err != nil {
		log.Fatal(err)
	}
	names := make([]string, 0, 8)
	for _, c := range contenders {
		names = append(names, c.name)
	}
	var dir string
	if *npm {
		if dir, err = installNPM(); err != nil {
			log.Printf("without the npm packages: %v", err)
		} else {
			defer os.RemoveAll(dir)
			names = append(names, "npm tiktoken", "npm gpt-tokenizer")
		}
	}
	all := make(map[string]map[string][]result) // text, contender
	for _, t := range texts {
		all[t.Name] = make(map[string][]result)
	}
	for range *rounds {
		for _, t := range texts {
			for _, c := range contenders {
				all[t.Name][c.name] = append(all[t.Name][c.name], measure(c, t.Text))
			}
		}
		if dir != "" {
			if err := npmRound(dir, texts, all); err != nil {
				log.Fatal(err)
			}
		}
	}
	print(texts, names, all)
}

func readTexts(root string) ([]text, error) {
	var out []text
	for _, f := range []struct{ name, path string }{
		{"MCP answer (JSON)", "internal/tokens/testdata/tools_call.json"},
		{"JSON Schema", "schemas/event.schema.json"},
		{"English", "LICENSE"},
		{"many scripts", "internal/tokens/testdata/scripts.txt"},
		{"Go code", "internal/tokens/vocab.go"},
	} {
		data, err := os.ReadFile(filepath.Join(root, f.path))
		if err != nil {
			return nil, err
		}
		out = append(out, text{f.name, string(data)})
	}
	r := rand.New(rand.NewPCG(1, 1))
	letters := make([]byte, 20_000)
	for i := range letters {
		letters[i] = 'a' + byte(r.IntN(26))
	}
	return append(out, text{"20 KB of one letter", strings.Repeat("a", 20_000)}, text{"20 KB of letters", string(letters)}), nil
}

func goContenders() ([]contender, error) {
	ours, err := tokens.Get(encoding)
	if err != nil {
		return nil, err
	}
	tiktoken.SetBpeLoader(tiktoken_loader.NewOfflineLoader())
	tk, err := tiktoken.GetEncoding(encoding)
	if err != nil {
		return nil, err
	}
	tz, err := tokenizer.Get(tokenizer.O200kBase)
	if err != nil {
		return nil, err
	}
	return []contender{
		{"mcpsiem", ours.CountString},
		{"tiktoken-go", func(s string) int { return len(tk.EncodeOrdinary(s)) }},
		{"tokenizer", func(s string) int {
			n, err := tz.Count(s)
			if err != nil {
				return -1
			}
			return n
		}},
	}, nil
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure counts s for at least 100 ms of CPU time.
func measure(c contender, s string) result {
	n := c.count(s)
	runtime.GC()
	start, times := cpu(), 0
	var spent time.Duration
	for spent < 100*time.Millisecond {
		for range max(1, 50_000/len(s)) {
			c.count(s)
			times++
		}
		spent = cpu() - start
	}
	return result{float64(times*len(s)) / 1e6 / spent.Seconds(), n}
}

func installNPM() (string, error) {
	dir, err := os.MkdirTemp("", "tokens-bench-")
	if err != nil {
		return "", err
	}
	c := exec.Command("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "tiktoken@1.0.22", "gpt-tokenizer@4.0.0")
	if out, err := c.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("cannot install: %w: %.200s", err, out)
	}
	return dir, os.WriteFile(filepath.Join(dir, "bench.js"), benchJS, 0o600)
}

// npmRound runs one round of the npm packages in a process of its own.
func npmRound(dir string, texts []text, all map[string]map[string][]result) error {
	in, err := json.Marshal(texts)
	if err != nil {
		return err
	}
	c := exec.Command("node", "bench.js")
	c.Dir, c.Stdin, c.Stderr = dir, strings.NewReader(string(in)), os.Stderr
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("cannot run node: %w", err)
	}
	var got map[string]map[string]result
	if err := json.Unmarshal(out, &got); err != nil {
		return fmt.Errorf("cannot read node's results: %w", err)
	}
	for name, by := range got {
		for who, r := range by {
			all[name][who] = append(all[name][who], r)
		}
	}
	return nil
}

func median(rs []result) float64 {
	v := make([]float64, len(rs))
	for i, r := range rs {
		v[i] = r.MBs
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func print(texts []text, names []string, all map[string]map[string][]result) {
	fmt.Printf("%s, %s, MB for each CPU second (times slower than mcpsiem)\n\n| text | bytes | tokens |", encoding, runtime.Version())
	for _, n := range names {
		fmt.Printf(" %s |", n)
	}
	fmt.Printf("\n|---|---|---|%s\n", strings.Repeat("---|", len(names)))
	for _, t := range texts {
		want := all[t.Name][names[0]][0].Tokens
		fmt.Printf("| %s | %d | %d |", t.Name, len(t.Text), want)
		base := median(all[t.Name][names[0]])
		for _, n := range names {
			m := median(all[t.Name][n])
			fmt.Printf(" %.3g", m)
			if n != names[0] {
				fmt.Printf(" (%.3gx)", base/m)
			}
			if got := all[t.Name][n][0].Tokens; got != want {
				fmt.Printf(" counts %d!", got)
			}
			fmt.Print(" |")
		}
		fmt.Println()
	}
}
