// The ClickHouse data source's query, which the foundation SDK does not know.

package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
)

// datasourceType is the plugin id of the official ClickHouse data source.
const datasourceType = "grafana-clickhouse-datasource"

// Formats of an answer, as the data source numbers them.
const (
	formatTimeSeries = 0
	formatTable      = 1
)

// queryVersion is the plugin whose form of a query this is; without it the editor takes a query for one of version 3.
const queryVersion = "4.0.0"

// Query is one SQL query of a panel (docs of grafana-clickhouse-datasource 4.x, "Query editor").
type Query struct {
	RefId      string               `json:"refId"`
	Hide       *bool                `json:"hide,omitempty"`
	Datasource common.DataSourceRef `json:"datasource"`
	EditorType string               `json:"editorType"`
	Format     int                  `json:"format"`
	Version    string               `json:"pluginVersion"`
	QueryType  string               `json:"queryType"`
	RawSQL     string               `json:"rawSql"`
}

// ImplementsDataqueryVariant lets the SDK take it as a query.
func (Query) ImplementsDataqueryVariant() {}

// Equals compares with another query.
func (q Query) Equals(other variants.Dataquery) bool {
	o, ok := other.(Query)
	return ok && o.RefId == q.RefId && o.RawSQL == q.RawSQL && o.Format == q.Format
}

// DataqueryType is the data source's type.
func (Query) DataqueryType() string { return datasourceType }

// Validate has nothing to refuse.
func (Query) Validate() error { return nil }

type queryBuilder struct{ q Query }

func (b queryBuilder) Build() (variants.Dataquery, error) { return b.q, nil }

var _ cog.Builder[variants.Dataquery] = queryBuilder{}

// datasource is the one that the dashboard's first variable names.
func datasource() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr(datasourceType), Uid: cog.ToPtr("${datasource}")}
}

// asTable asks for rows.
func asTable(ref, sql string) queryBuilder {
	return queryBuilder{Query{RefId: ref, Datasource: datasource(), EditorType: "sql", Format: formatTable, QueryType: "table", Version: queryVersion, RawSQL: tidy(sql)}}
}

// asSeries asks for rows whose first column is the time, in its order. The data source makes a line of each number, or, where texts stand beside a
// single number, of each text: that number is called Value, since Grafana then names the line by the text alone.
func asSeries(ref, sql string) queryBuilder {
	return queryBuilder{Query{RefId: ref, Datasource: datasource(), EditorType: "sql", Format: formatTimeSeries, QueryType: "timeseries", Version: queryVersion, RawSQL: tidy(sql)}}
}
