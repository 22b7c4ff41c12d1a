package dashtest

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Range is what a dashboard shows, and how fine.
type Range struct {
	From, To time.Time
	Interval time.Duration // of one point: the range over the width of a panel
}

// Expand does to a query what Grafana and its ClickHouse data source do before the server sees it (documentation of
// grafana-clickhouse-datasource 4.x, "Macros" and "Template variables"): variables, $__conditionalAll in the browser, the other macros in the plugin. A variable
// that is not among vars, or an empty one, stands for All.
func Expand(sql string, r Range, vars map[string][]string) (string, error) {
	sql, err := conditionalAll(sql, vars)
	if err != nil {
		return "", err
	}
	sql = variable.ReplaceAllStringFunc(sql, func(m string) string {
		p := variable.FindStringSubmatch(m)
		name, format := p[1], p[2]
		v := vars[name]
		if format == "percentencode" {
			text := strings.Join(v, ",")
			if len(v) > 0 && !boxes[name] {
				text = "{" + text + "}"
			}
			return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
		}
		return strings.Join(v, ",")
	})
	for _, m := range []struct{ name, text string }{
		{"$__fromTime_ms", fmt.Sprintf("fromUnixTimestamp64Milli(%d)", r.From.UnixMilli())}, {"$__toTime_ms", fmt.Sprintf("fromUnixTimestamp64Milli(%d)", r.To.UnixMilli())},
		{"$__fromTime", fmt.Sprintf("toDateTime(%d)", r.From.Unix())}, {"$__toTime", fmt.Sprintf("toDateTime(%d)", r.To.Unix())},
		{"$__interval_s", fmt.Sprint(max(int(r.Interval.Seconds()), 1))},
	} {
		sql = strings.ReplaceAll(sql, m.name, m.text)
	}
	sql = withColumn.ReplaceAllStringFunc(sql, func(m string) string {
		p := withColumn.FindStringSubmatch(m)
		col := p[2]
		switch p[1] {
		case "timeFilter":
			return fmt.Sprintf("%s >= toDateTime(%d) AND %s <= toDateTime(%d)", col, r.From.Unix(), col, r.To.Unix())
		case "timeFilter_ms":
			return fmt.Sprintf("%s >= fromUnixTimestamp64Milli(%d) AND %s <= fromUnixTimestamp64Milli(%d)", col, r.From.UnixMilli(), col, r.To.UnixMilli())
		case "dateFilter":
			return fmt.Sprintf("%s >= toDate('%s') AND %s <= toDate('%s')", col, r.From.UTC().Format(time.DateOnly), col, r.To.UTC().Format(time.DateOnly))
		case "timeInterval":
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", col, max(int(r.Interval.Seconds()), 1))
		case "timeInterval_ms":
			return fmt.Sprintf("toStartOfInterval(toDateTime64(%s, 3), INTERVAL %d millisecond)", col, max(int(r.Interval.Milliseconds()), 1))
		}
		return m
	})
	if i := strings.Index(sql, "$"); i >= 0 {
		return "", fmt.Errorf("nothing expands %q", sql[i:min(i+40, len(sql))])
	}
	return sql, nil
}

// boxes are the variables that hold one text; the others hold a list.
var boxes = map[string]bool{"finding": true, "event": true, "conversation": true}

var (
	variable   = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}`)
	withColumn = regexp.MustCompile(`\$__(\w+)\(([^()]*)\)`)
	named      = regexp.MustCompile(`^\s*\$\{?(\w+)\}?\s*$`)
)

// conditionalAll replaces $__conditionalAll(condition, $variable) by the condition, or by 1=1 where the variable is All or empty.
func conditionalAll(sql string, vars map[string][]string) (string, error) {
	const macro = "$__conditionalAll("
	for {
		at := strings.LastIndex(sql, macro)
		if at < 0 {
			return sql, nil
		}
		depth, comma, end := 1, -1, -1
		for i := at + len(macro); i < len(sql); i++ {
			switch sql[i] {
			case '(':
				depth++
			case ')':
				depth--
			case ',':
				if depth == 1 {
					comma = i
				}
			}
			if depth == 0 {
				end = i
				break
			}
		}
		if comma < 0 || end < 0 {
			return "", fmt.Errorf("$__conditionalAll needs a condition and a variable")
		}
		name := named.FindStringSubmatch(sql[comma+1 : end])
		if name == nil {
			return "", fmt.Errorf("the second argument of $__conditionalAll must be a plain variable")
		}
		text := "1=1"
		if v := vars[name[1]]; len(v) > 0 && v[0] != "" {
			text = sql[at+len(macro) : comma]
		}
		sql = sql[:at] + text + sql[end+1:]
	}
}
