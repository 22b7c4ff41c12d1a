// The report: the bundle's content for people, as HTML and as PDF. Both are made from the same summary and have no time of their own, so
// that the same export makes the same bytes.

package evidence

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"

	"github.com/go-pdf/fpdf"
)

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"width": func(c []Count, n uint64) uint64 {
		most := uint64(1)
		for _, x := range c {
			most = max(most, x.N)
		}
		return n * 100 / most
	},
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Evidence: {{.Manifest.Tenant}}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1b1f24}table{border-collapse:collapse;width:100%;margin:.5em 0 1.5em}
td,th{text-align:left;padding:.25em .6em;border-bottom:1px solid #d8dee4;vertical-align:top}th{background:#f6f8fa}.n{text-align:right;font-variant-numeric:tabular-nums}
.bar{background:#0969da;height:.8em;display:block;min-width:1px}code{font-size:12px;overflow-wrap:anywhere}.sub{padding-left:1.8em;font-weight:normal}.chart td{vertical-align:middle}.warn{color:#9a3412}h2{margin-top:2em}</style></head><body>
<h1>Evidence of MCP activity</h1>
<p>Tenant <b>{{.Manifest.Tenant}}</b>, {{.Manifest.From}} to {{.Manifest.To}} (not included). {{.Framework.Title}}, {{.Framework.Version}}{{if .Manifest.Control}}, control {{.Manifest.Control}}{{end}}.
Exported {{.Manifest.CreatedAt}} by {{.Manifest.ExportedBy}} with mcpsiem {{.Manifest.ToolVersion}}.</p>
<p>This report supports evidence; whether a control is met is for the auditor to judge. Check the bundle with <code>mcpsiem evidence verify</code> (VERIFY.md) before relying on it.</p>
<h2>Summary</h2>
<table>
<tr><th>Events in the bundle</th><td class="n">{{.Manifest.Events}}</td></tr>
<tr><th>Findings in the bundle</th><td class="n">{{.Manifest.Findings}}</td></tr>
<tr><th>Exceptions (sealed, row not in the bundle)</th><td class="n{{if .Manifest.Exceptions}} warn{{end}}">{{.Manifest.Exceptions}}</td></tr>
<tr><th>Messages that taps numbered</th><td class="n">{{.Coverage.Passed}}</td></tr>
<tr><th class="sub">of them stored</th><td class="n">{{.Coverage.Stored}}</td></tr>
<tr><th class="sub">missing, reported by the taps</th><td class="n">{{.Coverage.LostTap}}</td></tr>
<tr><th class="sub">missing, unexplained</th><td class="n{{if .Coverage.Gaps}} warn{{end}}">{{.Coverage.Gaps}}</td></tr>
<tr><th>Stored and not sealed yet</th><td class="n">{{.Coverage.NotSealed}}</td></tr>
<tr><th>Dead letters of the store (all tenants)</th><td class="n">{{.Coverage.DeadLetters}}</td></tr>
<tr><th>Seen and received over five minutes apart</th><td class="n">{{.Coverage.Skewed}}</td></tr>
<tr><th>Sealed by, say others</th><td>{{range .Anchors}}{{.At}}: {{.Name}} ({{.Kind}})<br>{{else}}nobody but this installation{{end}}</td></tr>
<tr><th>Log</th><td>{{.Manifest.Origin}}, {{.Manifest.TreeSize}} leaves<br><code>{{.Manifest.RootHash}}</code></td></tr>
</table>
{{define "chart"}}<table class="chart">{{$c := .}}{{range .}}<tr><td style="width:30%">{{.Name}}</td><td class="n" style="width:12%">{{.N}}</td><td><span class="bar" style="width:{{width $c .N}}%"></span></td></tr>{{else}}<tr><td>none</td></tr>{{end}}</table>{{end}}
<h2>Events by day</h2>{{template "chart" .ByDay}}
<h2>Events by server</h2>{{template "chart" .ByServer}}
<h2>Outcomes</h2>{{template "chart" .ByOutcome}}
<h2>Findings by severity</h2>{{template "chart" .BySeverity}}
<h2>Redactions by class</h2>{{template "chart" .Redactions}}
<h2>Controls</h2>
{{if .Framework.Notes}}<p>{{.Framework.Notes}}</p>{{end}}
<table><tr><th>Control</th><th>Demand, in other words</th><th>Supports evidence for it</th></tr>
{{range .Controls}}<tr><td><b>{{.ID}}</b><br>{{.Title}}</td><td>{{.Demand}}</td><td>{{range .Supports}}<code>{{.File}}</code>: {{.What}}<br>{{end}}</td></tr>{{end}}</table>
<h2>Samples</h2>
<table><tr><th>Time (UTC)</th><th>Event</th><th>Principal</th><th>Server</th><th>Tool</th><th>Outcome</th></tr>
{{range .Samples}}<tr><td>{{.Time}}</td><td><code>{{.ID}}</code></td><td>{{.Principal}}</td><td>{{.Server}}</td><td>{{.Tool}}</td><td>{{.Outcome}}</td></tr>{{else}}<tr><td colspan="6">none</td></tr>{{end}}</table>
<h2>Exceptions</h2>
<table><tr><th>Leaf</th><th>Kind</th><th>Id</th><th>State</th></tr>
{{range .Exceptions}}<tr><td class="n">{{.Leaf}}</td><td>{{.Kind}}</td><td><code>{{.ID}}</code></td><td>{{.State}}</td></tr>{{else}}<tr><td colspan="4">none</td></tr>{{end}}</table>
<h2>Sources of the demands</h2><ul>{{range .Framework.Sources}}<li>{{.}}</li>{{end}}</ul>
</body></html>
`))

func reportHTML(s *Summary) ([]byte, error) {
	var b bytes.Buffer
	if err := reportTemplate.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("cannot write the report: %w", err)
	}
	return b.Bytes(), nil
}

func reportPDF(s *Summary) ([]byte, error) {
	p := fpdf.New("P", "mm", "A4", "")
	p.SetCatalogSort(true)
	p.SetCreationDate(epoch)
	p.SetModificationDate(epoch)
	p.SetProducer("mcpsiem", false)
	p.SetTitle("Evidence of MCP activity", false)
	p.SetAutoPageBreak(true, 18)
	tr := p.UnicodeTranslatorFromDescriptor("") // the built-in fonts know Windows-1252; what it lacks becomes a dot
	clip := func(t string, n int) string {
		r := []rune(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, t))
		if len(r) > n {
			return string(r[:n-3]) + "..."
		}
		return string(r)
	}
	p.SetFooterFunc(func() {
		p.SetY(-14)
		p.SetFont("Helvetica", "", 8)
		p.SetTextColor(110, 110, 110)
		p.CellFormat(0, 8, fmt.Sprintf("mcpsiem evidence - page %d - root %s", p.PageNo(), s.Manifest.RootHash), "", 0, "C", false, 0, "")
	})
	h := func(t string) {
		p.Ln(3)
		p.SetTextColor(20, 30, 45)
		p.SetFont("Helvetica", "B", 13)
		p.CellFormat(0, 8, tr(t), "", 1, "L", false, 0, "")
		p.SetFont("Helvetica", "", 9.5)
	}
	text := func(t string) { p.MultiCell(0, 4.8, tr(clip(t, 2000)), "", "L", false) }
	p.SetDrawColor(208, 215, 222)
	p.SetLineWidth(0.2)
	row := func(k string, v any) {
		p.CellFormat(85, 5.6, tr(clip(k, 60)), "B", 0, "L", false, 0, "")
		p.CellFormat(0, 5.6, tr(clip(fmt.Sprint(v), 64)), "B", 1, "R", false, 0, "")
	}
	chart := func(title string, c []Count) {
		h(title)
		most := uint64(1)
		for _, x := range c {
			most = max(most, x.N)
		}
		for i, x := range c {
			if i == 31 {
				text(fmt.Sprintf("... and %d more, see report.html", len(c)-i))
				break
			}
			p.CellFormat(55, 5, tr(clip(x.Name, 34)), "", 0, "L", false, 0, "")
			p.CellFormat(22, 5, fmt.Sprint(x.N), "", 0, "R", false, 0, "")
			p.SetFillColor(9, 105, 218)
			p.Rect(p.GetX()+3, p.GetY()+1, max(0.3, 100*float64(x.N)/float64(most)), 3, "F")
			p.Ln(5)
		}
		if len(c) == 0 {
			text("none")
		}
	}
	p.AddPage()
	p.SetFont("Helvetica", "B", 20)
	p.CellFormat(0, 12, "Evidence of MCP activity", "", 1, "L", false, 0, "")
	p.SetFont("Helvetica", "", 9.5)
	m, c := &s.Manifest, s.Coverage
	text(fmt.Sprintf("Tenant %s, from %s to %s (not included). %s, %s. Exported %s by %s with mcpsiem %s.", clip(m.Tenant, 100), m.From, m.To, s.Framework.Title, s.Framework.Version, m.CreatedAt, clip(m.ExportedBy, 100), m.ToolVersion))
	p.Ln(2)
	text("This report supports evidence; whether a control is met is for the auditor to judge. Check the bundle with `mcpsiem evidence verify` (VERIFY.md) before relying on it.")
	h("Summary")
	row("Events in the bundle", m.Events)
	row("Findings in the bundle", m.Findings)
	row("Exceptions (sealed, row not in the bundle)", m.Exceptions)
	row("Messages that taps numbered", c.Passed)
	row("    of them stored", c.Stored)
	row("    missing, reported by the taps", c.LostTap)
	row("    missing, unexplained", c.Gaps)
	row("Stored and not sealed yet", c.NotSealed)
	row("Dead letters of the store (all tenants)", c.DeadLetters)
	row("Seen and received over five minutes apart", c.Skewed)
	row("Leaves in the log", m.TreeSize)
	for _, a := range s.Anchors {
		row("Sealed by, says "+a.Name+" ("+a.Kind+")", a.At)
	}
	if len(s.Anchors) == 0 {
		row("Sealed by, say others", "nobody but this installation")
	}
	chart("Events by day", s.ByDay)
	chart("Events by server", s.ByServer)
	chart("Outcomes", s.ByOutcome)
	chart("Findings by severity", s.BySeverity)
	chart("Redactions by class", s.Redactions)
	h("Controls, and what supports evidence for each")
	if s.Framework.Notes != "" {
		text(s.Framework.Notes)
	}
	left, _, right, _ := p.GetMargins()
	width, height := p.GetPageSize()
	for _, x := range s.Controls {
		lines := 1 + len(p.SplitText(tr(x.Demand), width-left-right))
		for _, u := range x.Supports {
			lines += len(p.SplitText(tr(u.File+": "+u.What), width-left-right-8))
		}
		if p.GetY()+4.8*float64(lines)+1.5 > height-18 { // a control stays together
			p.AddPage()
		}
		p.Ln(1.5)
		p.SetFont("Helvetica", "B", 9.5)
		text(x.ID + "  " + x.Title)
		p.SetFont("Helvetica", "", 9.5)
		text(x.Demand)
		for _, u := range x.Supports {
			p.SetX(left + 2)
			p.CellFormat(4, 4.8, "-", "", 0, "L", false, 0, "")
			p.SetLeftMargin(left + 6)
			text(u.File + ": " + u.What)
			p.SetLeftMargin(left)
			p.SetX(left)
		}
	}
	h("Samples")
	p.SetFont("Helvetica", "", 7.5)
	for _, x := range s.Samples {
		for i, c := range []struct {
			text string
			mm   float64
			most int
		}{{x.Time, 32, 24}, {x.ID, 52, 36}, {x.Principal, 42, 30}, {x.Server, 24, 17}, {x.Tool, 26, 19}, {x.Outcome, 0, 10}} {
			p.CellFormat(c.mm, 4.4, tr(clip(c.text, c.most)), "", map[bool]int{true: 1}[i == 5], "L", false, 0, "")
		}
	}
	if len(s.Samples) == 0 {
		text("none")
	}
	h("Exceptions")
	p.SetFont("Helvetica", "", 7.5)
	for _, x := range s.Exceptions {
		p.CellFormat(0, 4.4, tr(fmt.Sprintf("leaf %d  %s  %s  %s", x.Leaf, x.Kind, x.ID, x.State)), "", 1, "L", false, 0, "")
	}
	if len(s.Exceptions) == 0 {
		text("none")
	}
	var b bytes.Buffer
	if err := p.Output(&b); err != nil {
		return nil, fmt.Errorf("cannot write the report: %w", err)
	}
	return b.Bytes(), nil
}

func verifyText(m *Manifest) string {
	return `# How to check this bundle

    mcpsiem evidence verify FILE --key KEY

It needs no network and no installation of mcpsiem's servers. KEY is the public key of the log ` + m.Origin + `. Get it from its owner by another way than this
bundle; keys/log.pub is only a copy. Lines after its first are statements of rotation (a JSON list of signed notes), which lead from a key of before to this one, each signed with both. Exit code 0: everything fits; 5: something does not, and it says what.

What is checked, so that another program can do it:

1. The ZIP's comment is a signed note (https://c2sp.org/signed-note) whose second line has the SHA-256 of all bytes of the file before the comment.
2. manifest.sig is a signed note with the SHA-256 of manifest.json, and manifest.json has size and SHA-256 of every other file.
3. log/checkpoint is a checkpoint (https://c2sp.org/tlog-checkpoint) of size ` + fmt.Sprint(m.TreeSize) + `, signed with the key.
4. log/segments.json covers the log from 0 to its size. A segment without roots is leaves, whose 32-byte hashes follow each other in log/hashes.bin; one with roots
   is the complete subtrees that make up its range, from left to right. Combined by RFC 6962 they have the checkpoint's root.
5. Line n of events.ndjson (findings.ndjson) belongs to the 24 bytes n of events.leaves (findings.leaves): the leaf's index (8 bytes, big-endian) and its salt (16 bytes).
   With d = SHA-256(line without its line end) and c = HMAC-SHA-256(key = salt, d), the leaf hash is SHA-256(0x00 || c), and equals the log's hash at that index.
   Indexes ascend.
6. log/history.json has earlier checkpoints, each signed with the key, and an RFC 6962 consistency proof to the checkpoint.
7. log/anchors.json has checkpoints, likewise signed and proven consistent, that others vouch for. tsa: data is an RFC 3161 TimeStampToken over SHA-256, -384 or -512 of the note (every byte of it);
   its certificate has to lead to the authority's root. witness: data is a cosignature line (https://c2sp.org/tlog-cosignature) over the note's text. keys/tsa.pem and keys/witnesses.txt are
   copies: get the authority's root and the witness's key from them. A checkpoint larger than the last leaf of the bundle vouches for all of it.

The other tables (access, audit, inventory, coverage and so on) were computed from the store at the time of the export. The signature says who made them and that
nobody changed them; what they say can be recounted from the events.
`
}
