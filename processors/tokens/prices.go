package tokens

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/schemas/prices"
)

// maxPriceFile is the size of a price file that is taken for a mistake.
const maxPriceFile = 4 << 20

// price is a row of a price file. Amounts are for 1,000,000 tokens.
type price struct {
	model                  glob
	from, to               int64 // ns since 1970; to excluded; 0 is no bound
	input, output, cached  float64
	provider, currencyCode string
}

// table is a price file. It is not changed once made.
type table struct {
	version string // the file's own, and a part of its hash: prices changed under an old version still show
	rows    []price
}

// find returns the price of model, in lower case, at a time in ns since 1970.
func (t *table) find(model string, at int64) *price {
	for i := range t.rows {
		r := &t.rows[i]
		if (r.from == 0 || at >= r.from) && (r.to == 0 || at < r.to) && r.model.matches(model) {
			return r
		}
	}
	return nil
}

// amount is what so many tokens cost; input includes cached.
func (p *price) amount(input, cached, output int64) float64 {
	cached = min(cached, input)
	return (float64(input-cached)*p.input + float64(cached)*p.cached + float64(output)*p.output) / 1e6
}

func parsePrices(data []byte) (*table, error) {
	var file struct {
		Version  string `yaml:"version"`
		Currency string `yaml:"currency"`
		Prices   []struct {
			Provider string   `yaml:"provider"`
			Model    string   `yaml:"model"`
			Input    *float64 `yaml:"input"`
			Output   *float64 `yaml:"output"`
			Cached   *float64 `yaml:"cached_input"`
			Currency string   `yaml:"currency"`
			From     string   `yaml:"from"`
			To       string   `yaml:"to"`
			Source   string   `yaml:"source"`
		} `yaml:"prices"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("not a price file: %w", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	if file.Version == "" {
		return nil, errors.New("version is required: amounts are recorded with it")
	}
	if len(file.Version) > 64 {
		return nil, errors.New("version is longer than 64 bytes")
	}
	sum := sha256.Sum256(data)
	t := &table{version: file.Version + "+" + hex.EncodeToString(sum[:4])}
	for i, r := range file.Prices {
		p := price{model: newGlob(r.Model), provider: r.Provider, currencyCode: r.Currency}
		if p.currencyCode == "" {
			p.currencyCode = file.Currency
		}
		if r.Model == "" || r.Input == nil || r.Output == nil {
			return nil, fmt.Errorf("prices[%d]: model, input and output are required", i)
		}
		if len(p.currencyCode) != 3 || strings.Trim(p.currencyCode, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return nil, fmt.Errorf("prices[%d]: currency is %q, want three letters as in ISO 4217, in the row or for the file", i, p.currencyCode)
		}
		p.input, p.output, p.cached = *r.Input, *r.Output, *r.Input
		if r.Cached != nil {
			p.cached = *r.Cached
		}
		for _, v := range []float64{p.input, p.output, p.cached} {
			if math.IsNaN(v) || v < 0 || v > 1e9 {
				return nil, fmt.Errorf("prices[%d]: a price is not between 0 and 1e9", i)
			}
		}
		if r.Source == "" {
			return nil, fmt.Errorf("prices[%d]: source is required: say where the price is from and when it was read", i)
		}
		var err error
		if p.from, err = day(r.From); err != nil {
			return nil, fmt.Errorf("prices[%d]: from: %w", i, err)
		}
		if p.to, err = day(r.To); err != nil {
			return nil, fmt.Errorf("prices[%d]: to: %w", i, err)
		}
		if p.to != 0 && p.from >= p.to {
			return nil, fmt.Errorf("prices[%d]: from is not before to", i)
		}
		t.rows = append(t.rows, p)
	}
	return t, nil
}

func day(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a day like 2026-10-07", s)
	}
	return t.UnixNano(), nil
}

// priceList is the current table. A file is looked at again when a batch comes and the interval is over, so there is nothing
// running in between. A file that cannot be read leaves the table as it is.
type priceList struct {
	path     string
	interval time.Duration
	tel      *telemetry
	current  atomic.Pointer[table]

	mu      sync.Mutex // guards the rest; held by whoever looks at the file
	next    time.Time
	modTime time.Time
	size    int64
}

func newPriceList(cfg *Config, tel *telemetry) (*priceList, error) {
	l := &priceList{path: cfg.PricesFile, interval: cfg.PricesInterval, tel: tel}
	if l.path == "" {
		t, err := parsePrices(prices.Default)
		if err != nil {
			return nil, fmt.Errorf("cannot read the built-in price file: %w", err)
		}
		l.current.Store(t)
		return l, nil
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l, nil
}

// table returns the prices in force, after a look at the file if one is due.
func (l *priceList) table(now time.Time) *table {
	if l.path != "" && l.mu.TryLock() {
		if !now.Before(l.next) {
			l.next = now.Add(l.interval)
			if st, err := os.Stat(l.path); err != nil || !st.ModTime().Equal(l.modTime) || st.Size() != l.size {
				l.tel.prices(l.load())
			}
		}
		l.mu.Unlock()
	}
	return l.current.Load()
}

// load reads the file; l.mu is held or l is not shared yet.
func (l *priceList) load() error {
	f, err := os.Open(l.path)
	if err != nil {
		return fmt.Errorf("cannot read prices_file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot read prices_file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPriceFile+1))
	if err != nil {
		return fmt.Errorf("cannot read prices_file: %w", err)
	}
	l.modTime, l.size = st.ModTime(), st.Size() // of a broken file too: one complaint a change
	if len(data) > maxPriceFile {
		return fmt.Errorf("cannot read prices_file %q: larger than %d bytes", l.path, maxPriceFile)
	}
	t, err := parsePrices(data)
	if err != nil {
		return fmt.Errorf("cannot read prices_file %q: %w", l.path, err)
	}
	l.current.Store(t)
	return nil
}
