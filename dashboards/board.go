// What all dashboards have in common: uid, variables, links, and the conditions that the variables stand for.

package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Uids of the dashboards. Links lead to them.
const (
	uidSOC       = "mcpsiem-soc"
	uidFinding   = "mcpsiem-finding"
	uidPrincipal = "mcpsiem-principal"
	uidEvent     = "mcpsiem-event"
	uidInventory = "mcpsiem-inventory"
	uidData      = "mcpsiem-data"
	uidCost      = "mcpsiem-cost"
	uidAccess    = "mcpsiem-access"
	uidAudit     = "mcpsiem-audit"
	uidHealth    = "mcpsiem-health"
)

// chosen are the values of a variable, as an array. Names are what a client, a server or an identity provider says, so Grafana's own quotes do not do: they
// leave a backslash as it is (DOMAIN\user, and worse). Percent-encoded no character means anything to SQL. Several values come as {a,b}: a name with commas in
// it can be chosen alone, not with others.
func chosen(name string) string {
	given := "trim(BOTH '{}' FROM decodeURLComponent('${" + name + ":percentencode}'))"
	return "arrayPushBack(splitByChar(',', " + given + "), " + given + ")"
}

// where is the condition that a variable stands for. An empty choice is none, so that a column is read only where it narrows.
func where(column, name string) string {
	return "$__conditionalAll(" + column + " IN " + chosen(name) + ", $" + name + ")"
}

// Conditions. Columns of these names are in events, findings and most views.
var (
	byTenant    = where("tenant", "tenant")
	byPrincipal = where("principal_id", "principal")
	byServer    = where("server", "server")
	byTool      = where("tool", "tool")
	bySeverity  = where("severity", "severity")

	byAll     = byTenant + " AND " + byPrincipal + " AND " + byServer + " AND " + byTool
	byFinding = byAll + " AND " + bySeverity

	eventsInTime   = "FROM events WHERE $__timeFilter(ts) AND " + byAll
	findingsInTime = "FROM mcp_findings WHERE $__timeFilter(raised) AND " + byFinding
)

const (
	// Exchanges by their answers, which repeat the request's method, tool and principal.
	answers = "kind IN ('response', 'error') AND direction = 'server_to_client'"
	failure = "outcome NOT IN ('', 'ok', 'input_required')"
)

// Links that keep the time range and the tenant. Values are encoded whole: Grafana by itself leaves &, + and # of a name as they are.
const (
	keep        = "&${__url_time_range}&${tenant:queryparam}&${datasource:queryparam}"
	toFinding   = "/d/" + uidFinding + "?var-finding=${__data.fields[\"finding_id\"]:percentencode}" + keep
	toEvent     = "/d/" + uidEvent + "?var-event=${__data.fields[\"event_id\"]:percentencode}" + keep
	toPrincipal = "/d/" + uidPrincipal + "?var-principal=${__data.fields[\"principal_id\"]:percentencode}" + keep
	toServer    = "/d/" + uidInventory + "?var-server=${__data.fields[\"server\"]:percentencode}" + keep
	toTool      = "/d/" + uidInventory + "?var-server=${__data.fields[\"server\"]:percentencode}&var-tool=${__data.fields[\"tool\"]:percentencode}" + keep
	toConverse  = "/d/" + uidPrincipal + "?var-conversation=${__data.fields[\"conversation_id\"]:percentencode}&var-principal=${__data.fields[\"principal_id\"]:percentencode}" + keep
)

// Columns that look the same wherever they stand.
var (
	colFinding   = column{name: "finding_id", link: toFinding, width: 110}
	colEvent     = column{name: "event_id", link: toEvent, width: 110}
	colPrincipal = column{name: "principal_id", link: toPrincipal}
	colServer    = column{name: "server", link: toServer}
	colTool      = column{name: "tool", link: toTool}
	colConverse  = column{name: "conversation_id", link: toConverse, width: 120}
	colSeverity  = column{name: "severity", coloured: true, width: 110}
	colStatus    = column{name: "status", coloured: true, width: 120}
	colOutcome   = column{name: "outcome", coloured: true, width: 110}
	colSummary   = column{name: "summary", wrap: true, inspection: true}
	colMS        = column{name: "ms", unit: "ms", width: 90}
)

// Board is one dashboard.
type Board struct {
	Uid   string
	build *dashboard.DashboardBuilder //lint:ignore SA1019 Grafana 11 reads no v2 dashboards
}

// newBoard begins a dashboard. since is its time range, as Grafana writes it.
func newBoard(uid, title, doc, since string) *Board {
	//lint:ignore SA1019 Grafana 11 reads no v2 dashboards
	b := dashboard.NewDashboardBuilder("mcpsiem / "+title).Uid(uid).Description(doc).Tags([]string{"mcpsiem"}).
		Time(since, "now").Refresh("1m").Timezone(common.TimeZoneBrowser).Tooltip(dashboard.DashboardCursorSyncCrosshair).Editable().
		Link(dashboard.NewDashboardLinkBuilder("mcpsiem").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"mcpsiem"}).AsDropdown(true).KeepTime(true).IncludeVars(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Store").Type(datasourceType))
	return &Board{uid, b}
}

// in is the window of the variables' queries: names seen within the dashboard's time range.
func (b *Board) choice(name, label, sql string) *Board {
	b.build.WithVariable(dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(datasource()).
		Query(dashboard.StringOrMap{String: cog.ToPtr(sql)}).Definition(sql).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).Multi(true).IncludeAll(true).
		Current(dashboard.VariableOption{
			Text: dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}}, Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		}))
	return b
}

// tenants adds tenant: those with definitions, seals, or events on the last day of the range.
func (b *Board) tenants() *Board {
	return b.choice("tenant", "Tenant", `SELECT tenant FROM (SELECT tenant FROM seal_checkpoints UNION DISTINCT SELECT tenant FROM tool_catalogue UNION DISTINCT SELECT tenant FROM events WHERE ts > $__toTime - INTERVAL 1 DAY AND ts <= $__toTime) GROUP BY tenant ORDER BY tenant`)
}

// traffic adds tenant, principal, server and tool.
func (b *Board) traffic() *Board {
	return b.
		tenants().
		choice("principal", "Principal", "SELECT principal_id FROM events WHERE $__timeFilter(ts) AND "+byTenant+" AND principal_id != '' GROUP BY principal_id ORDER BY count() DESC LIMIT 1000").
		choice("server", "Server", "SELECT DISTINCT server FROM events WHERE $__timeFilter(ts) AND "+byTenant+" AND server != '' ORDER BY server LIMIT 1000").
		choice("tool", "Tool", "SELECT tool FROM events WHERE $__timeFilter(ts) AND "+byTenant+" AND "+byServer+" AND tool != '' GROUP BY tool ORDER BY count() DESC LIMIT 1000")
}

// severities adds severity.
func (b *Board) severities() *Board {
	b.build.WithVariable(dashboard.NewCustomVariableBuilder("severity").Label("Severity").
		Values(dashboard.StringOrMap{String: cog.ToPtr("critical,high,medium,low,informational")}).Multi(true).IncludeAll(true).
		Current(dashboard.VariableOption{
			Text: dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}}, Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		}))
	return b
}

// given adds a text box, which links fill in.
func (b *Board) given(name, label, doc string) *Board {
	b.build.WithVariable(dashboard.NewTextBoxVariableBuilder(name).Label(label).Description(doc).DefaultValue(dashboard.StringOrMap{String: cog.ToPtr("")}))
	return b
}

// row begins a section.
func (b *Board) row(title string, panels ...panel) *Board {
	b.build.WithRow(dashboard.NewRowBuilder(title))
	return b.with(panels...)
}

func (b *Board) with(panels ...panel) *Board {
	for _, p := range panels {
		b.build.WithPanel(p)
	}
	return b
}
