// The few kinds of panel that the dashboards are made of.

package dashboards

import (
	"maps"
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/nodegraph"
	"github.com/grafana/grafana-foundation-sdk/go/piechart"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

type panel = cog.Builder[dashboard.Panel]

// about is what every panel says of itself: its title, what it shows, and its place (columns of 24, rows of 30 px).
type about struct {
	title, doc    string
	width, height uint32
}

// tidy takes the indentation of the Go source off a query.
func tidy(sql string) string {
	lines := strings.Split(strings.Trim(sql, "\n\t "), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(strings.TrimLeft(l, "\t"), "\t"), " ")
	}
	return strings.Join(lines, "\n")
}

// Colours of severities and outcomes, the same on every dashboard.
var colours = map[string]string{
	"critical": "dark-red", "high": "red", "medium": "orange", "low": "yellow", "informational": "blue",
	"open": "red", "acknowledged": "orange", "resolved": "green", "false_positive": "purple", "accepted": "blue",
	"ok": "green", "tool_error": "orange", "rpc_error": "red", "timeout": "purple", "failed": "red", "denied": "dark-red",
	"yes": "green", "no": "red", "partly": "orange", "true": "green", "false": "red",
}

func value(id string, v any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: v}
}

// colourMappings colours a cell by its text.
func colourMappings() []map[string]any {
	options := map[string]any{}
	for text, colour := range colours {
		options[text] = map[string]any{"color": colour}
	}
	return []map[string]any{{"type": "value", "options": options}}
}

func tooltip(mode common.TooltipDisplayMode) *common.VizTooltipOptionsBuilder {
	return common.NewVizTooltipOptionsBuilder().Mode(mode).Sort(common.SortOrderNone)
}

// in is the unit of one column, where it is not the panel's.
func in(unit string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{value("unit", unit)}
}

// stats shows one number for each column of a one-row answer.
func stats(a about, unit, sql string) *stat.PanelBuilder {
	p := stat.NewPanelBuilder().Title(a.title).Description(a.doc).Span(a.width).Height(a.height).Datasource(datasource()).
		Unit(unit).NoValue("none").
		ColorMode(common.BigValueColorModeValue).GraphMode(common.BigValueGraphModeNone).TextMode(common.BigValueTextModeAuto).Orientation(common.VizOrientationAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)).
		WithTarget(asTable("A", sql))
	for _, name := range slices.Sorted(maps.Keys(colours)) {
		if !strings.Contains(sql, " AS "+name) {
			continue
		}
		p = p.OverrideByName(name, []dashboard.DynamicConfigValue{value("color", map[string]any{"mode": "fixed", "fixedColor": colours[name]})})
	}
	return p
}

// series shows numbers over time: the first column is `time`, the others are lines; stacked bars where they add up.
func series(a about, unit string, stacked bool, sql string) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().Title(a.title).Description(a.doc).Span(a.width).Height(a.height).Datasource(datasource()).
		Unit(unit).Min(0).LineWidth(1).FillOpacity(10).ShowPoints(common.VisibilityModeAuto).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(tooltip(common.TooltipDisplayModeMulti)).
		WithTarget(asSeries("A", sql))
	if stacked {
		p = p.DrawStyle(common.GraphDrawStyleBars).FillOpacity(80).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	for _, name := range slices.Sorted(maps.Keys(colours)) {
		if !strings.Contains(sql, " AS "+name) && !strings.Contains(sql, "time, outcome,") {
			continue
		}
		p = p.OverrideByName(name, []dashboard.DynamicConfigValue{value("color", map[string]any{"mode": "fixed", "fixedColor": colours[name]})})
	}
	return p
}

// column changes how one column of a table looks.
type column struct {
	name       string
	unit       string
	link       string // URL; ${__data.fields["x"]:percentencode} stands for the row's value
	width      int
	wrap, bar  bool
	coloured   bool
	inspection bool // long text: shows whole on a click
}

// rows shows a table.
func rows(a about, sql string, columns ...column) *table.PanelBuilder {
	p := table.NewPanelBuilder().Title(a.title).Description(a.doc).Span(a.width).Height(a.height).Datasource(datasource()).
		ShowHeader(true).Filterable(true).NoValue("").
		WithTarget(asTable("A", sql))
	for _, c := range columns {
		var set []dashboard.DynamicConfigValue
		if c.unit != "" {
			set = append(set, value("unit", c.unit))
		}
		if c.link != "" {
			set = append(set, value("links", []map[string]any{{"title": "Open", "url": c.link}}))
		}
		if c.width > 0 {
			set = append(set, value("custom.width", c.width))
		}
		switch {
		case c.bar:
			set = append(set, value("custom.cellOptions", map[string]any{"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}))
		case c.coloured:
			set = append(set, value("custom.cellOptions", map[string]any{"type": "color-text"}), value("mappings", colourMappings()))
		case c.wrap:
			set = append(set, value("custom.cellOptions", map[string]any{"type": "auto", "wrapText": true}))
		}
		if c.inspection {
			set = append(set, value("custom.inspect", true))
		}
		p = p.OverrideByName(c.name, set)
	}
	return p
}

// bars compares a few names: the first column is the name, the others numbers.
func bars(a about, unit, sql string) *barchart.PanelBuilder {
	return barchart.NewPanelBuilder().Title(a.title).Description(a.doc).Span(a.width).Height(a.height).Datasource(datasource()).
		Unit(unit).Min(0).Orientation(common.VizOrientationHorizontal).Stacking(common.StackingModeNormal).ShowValue(common.VisibilityModeAuto).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(tooltip(common.TooltipDisplayModeMulti)).
		WithTarget(asTable("A", sql))
}

// shares shows parts of a whole: the first column is the name, the second the number.
func shares(a about, unit, sql string) *piechart.PanelBuilder {
	return piechart.NewPanelBuilder().Title(a.title).Description(a.doc).Span(a.width).Height(a.height).Datasource(datasource()).
		Unit(unit).PieType(piechart.PieChartTypeDonut).Orientation(common.VizOrientationAuto).Tooltip(tooltip(common.TooltipDisplayModeSingle)).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Values(true).Calcs([]string{"lastNotNull"})).
		Legend(piechart.NewPieChartLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementRight).ShowLegend(true).
			Values([]piechart.PieChartLegendValues{piechart.PieChartLegendValuesValue})).
		WithTarget(asTable("A", sql))
}

// lanes shows states over time: columns time, in its order, lane and Value, which is the state. (A field of that name is called as its lane.)
func lanes(a about, sql string) *statetimeline.PanelBuilder {
	p := statetimeline.NewPanelBuilder().Title(a.title).Description(a.doc).Span(a.width).Height(a.height).Datasource(datasource()).
		MergeValues(true).ShowValue(common.VisibilityModeAuto).RowHeight(0.8).Tooltip(tooltip(common.TooltipDisplayModeSingle)).
		WithTarget(asTable("A", sql)).
		WithTransformation(dashboard.DataTransformerConfig{Id: "partitionByValues", Options: map[string]any{"fields": []string{"lane"}, "keepFields": false}})
	return p.Mappings([]dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: "value", Options: func() map[string]dashboard.ValueMappingResult {
		m := map[string]dashboard.ValueMappingResult{}
		for text, colour := range colours {
			m[text] = dashboard.ValueMappingResult{Color: cog.ToPtr(colour)}
		}
		return m
	}()}}})
}

// flow shows what goes where: nodes (id, title, mainstat) and edges (id, source, target, mainstat).
func flow(a about, nodes, edges string) *nodegraph.PanelBuilder {
	return nodegraph.NewPanelBuilder().Title(a.title).Description(a.doc).Span(a.width).Height(a.height).Datasource(datasource()).
		WithTarget(asTable("nodes", nodes)).WithTarget(asTable("edges", edges))
}
