package distro

import (
	"bytes"
	_ "embed"
	"strings"
	"text/template"
)

//go:embed laptop.yaml.tmpl
var laptopTemplate string

// Laptop is what the configuration of `mcpsiem up` is made from: every stage in one process on embedded engines.
type Laptop struct {
	OTLPHTTP, OTLPGRPC      string // host:port
	NATSURL                 string
	ClickHouse              string // host:port, native protocol
	HealthAddr, MetricsHost string
	PageAddr                string // host:port of the built-in page
	MetricsPort             string
	Secrets                 string // folder
	DetectDir               string
	RulesDir                string // of the site's own rules; it need not exist
	SealDir                 string // of the tenants' Merkle logs
	ClickHouseHTTP          string // host:port
	JournalFile             string // what the journal remembers between starts
	Retention               string // retention policy; empty for none
	RetentionDir            string // lock of what removes rows
	ArchiveDir              string // rows that left the store
	WatchDirectory          string // files whose change is put on record; they need not exist
	WatchBudgets            string
	WatchRetention          string
	WatchRoles              string
	Directory               string // file of people; empty for none
	Budgets                 string // file of budgets and limits; empty for none
	Residency               string // policy of what must stay in which region; empty for none
	AllowList               string // file of what does not alert; it need not exist
	LogFile                 string
	FileLogs                []string // glob patterns of event files to follow; none by default
	FileStorage             string   // folder for the offsets of followed files
}

// Render writes the Collector configuration.
func (l Laptop) Render() ([]byte, error) {
	t, err := template.New("laptop").Funcs(template.FuncMap{
		// q quotes a value for YAML: single quotes, in which only the quote itself is special.
		"q": func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" },
	}).Option("missingkey=error").Parse(laptopTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, l); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
