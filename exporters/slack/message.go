// Messages of Slack's Block Kit. Names come from the wire: none of them may become a mention, a link or formatting.

package slack

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

var marks = map[string]string{"critical": ":red_circle:", "high": ":large_orange_circle:", "medium": ":large_yellow_circle:", "low": ":white_circle:", "informational": ":white_circle:"}

// defuse takes from text what Slack and those that imitate it make something of: & < > (entities), @ (mentions of imitators), :// (links) and
// the marks of formatting. What is left reads the same to people.
var defuse = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "＠", "://", "[:]//", "`", "'", "*", "∗", "_", "＿", "~", "∼", "|", "¦", "](", "] (", ":", ":\u200a",
)

// plain is text of a name or sentence for anywhere in a message, at most limit characters of it.
func plain(s string, limit int) string { return defuse.Replace(sink.Plain(s, limit)) }

// code shows a name as code, where nothing is formatted.
func code(s string) string {
	s = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'", "@", "＠", "://", "[:]//", "](", "] (").Replace(sink.Plain(s, 128))
	return "`" + s + "`"
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text,omitempty"`
	Fields   []text `json:"fields,omitempty"`
	Elements []text `json:"elements,omitempty"`
}

type message struct {
	Text        string  `json:"text"` // for notifications, and what does not know blocks
	Blocks      []block `json:"blocks"`
	Parse       string  `json:"parse"`
	LinkNames   bool    `json:"link_names"`
	UnfurlLinks bool    `json:"unfurl_links"`
	UnfurlMedia bool    `json:"unfurl_media"`
}

func section(s string) block { return block{Type: "section", Text: &text{"mrkdwn", s}} }

func (m *message) json() []byte {
	m.Parse = "none"
	b, err := json.Marshal(m)
	if err != nil {
		panic("BUG: a message of strings cannot fail to encode: " + err.Error())
	}
	return b
}

// link is made of the operator's base URL and an id that is escaped.
func link(base, path, label string) string {
	if base == "" {
		return ""
	}
	return "<" + strings.TrimRight(base, "/") + path + "|" + label + ">"
}

func (e *slackExporter) finding(f *finding.Finding) *message {
	mark, ok := marks[f.Severity]
	if !ok {
		mark = marks["critical"]
	}
	title := plain(f.Title, 150)
	if title == "" {
		title = plain(f.RuleID, 150)
	}
	m := &message{Text: fmt.Sprintf("%s: %s", plain(f.Severity, 20), title)}
	head := mark + " *" + title + "* (" + plain(f.Severity, 20) + ")"
	if f.Revision > 0 {
		m.Text = plain(f.Status, 20) + ": " + title
		head = ":memo: *" + title + "* is now *" + plain(strings.ReplaceAll(f.Status, "_", " "), 20) + "*"
		if f.TriagedBy != "" {
			head += " (" + code(f.TriagedBy) + ")"
		}
	}
	m.Blocks = append(m.Blocks, section(head))
	if e.cfg.Sentence && f.Summary != "" && f.Revision == 0 {
		m.Blocks = append(m.Blocks, block{Type: "section", Text: &text{"plain_text", plain(f.Summary, 1000)}})
	}
	var fields []text
	add := func(name, v string) {
		if v != "" && len(fields) < 10 {
			fields = append(fields, text{"mrkdwn", "*" + name + "*\n" + code(v)})
		}
	}
	who := "Who"
	if !f.PrincipalVerified {
		who = "Who (not verified)"
	}
	add(who, f.PrincipalID)
	add("Server", f.Server)
	add("Tool", f.Tool)
	add("Client", f.ClientName)
	if f.Tenant != event.DefaultTenant {
		add("Tenant", f.Tenant)
	}
	add("Rule", f.RuleID)
	if len(fields) > 0 {
		m.Blocks = append(m.Blocks, block{Type: "section", Fields: fields})
	}
	foot := "`mcpsiem findings show " + strings.Trim(code(f.ID), "`") + "`"
	if l := link(e.cfg.Grafana, "/d/mcpsiem-finding?var-finding="+url.QueryEscape(sink.Plain(f.ID, 64)), "Investigate"); l != "" {
		foot = l + "  " + foot
	}
	m.Blocks = append(m.Blocks, block{Type: "context", Elements: []text{{"mrkdwn", foot}}})
	return m
}

func (e *slackExporter) digest(from time.Time, w *sink.Window) *message {
	s := fmt.Sprintf("%d more findings within %s, from %d rules", w.Withheld, e.cfg.Window, len(w.Rules))
	m := &message{Text: s, Blocks: []block{section(":cyclone: *" + s + "*")}}
	l := link(e.cfg.Grafana, fmt.Sprintf("/d/mcpsiem-soc?from=%d&to=%d", from.UnixMilli(), from.Add(e.cfg.Window).UnixMilli()), "All of them")
	if l != "" {
		l += "  "
	}
	m.Blocks = append(m.Blocks, block{Type: "context", Elements: []text{{"mrkdwn", l + "`mcpsiem findings list --each`"}}})
	return m
}

func (e *slackExporter) audit(ev *event.Event) *message {
	m := &message{Text: plain(ev.AuditAction, 64)}
	s := ":clipboard: *" + plain(ev.AuditAction, 64) + "*"
	if ev.AuditTarget != "" {
		s += " " + code(ev.AuditTarget)
	}
	if ev.PrincipalID != "" {
		s += " by " + code(ev.PrincipalID)
	}
	m.Blocks = []block{section(s)}
	return m
}
