// Package dashboards generates the Grafana dashboards. Each file but this, board.go, panel.go and query.go is one dashboard; `go generate ./dashboards`
// writes them all to grafana/, as JSON that Grafana 11 and 12 import or provision.
package dashboards

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/table"
)

//go:generate go test . -run TestCommitted -update

// Files are the dashboards as committed: grafana/UID.json.
//
//go:embed grafana/*.json
var Files embed.FS

// Boards are all dashboards.
func Boards() []*Board {
	return []*Board{soc(), finding(), principal(), event(), inventory(), data(), cost(), access(), audit(), health()}
}

// schemaVersion is that of Grafana 11.0; later versions bring a dashboard up to theirs, none brings one down.
const schemaVersion = 39

// JSON is the dashboard as Grafana reads it.
func (b *Board) JSON() ([]byte, error) {
	d, err := b.build.Build()
	if err != nil {
		return nil, fmt.Errorf("cannot build dashboard %s: %w", b.Uid, err)
	}
	d.SchemaVersion = schemaVersion
	for i := range d.Links {
		d.Links[i].Placement = nil // in the bar, where all versions show them
	}
	for i, p := range d.Panels { // links and alerts name panels by number
		if id := uint32(i + 1); p.Panel != nil {
			p.Panel.Id = &id
			if o, ok := p.Panel.Options.(*table.Options); ok {
				o.Footer = nil // the SDK's empty one has no reducer, which no version of Grafana allows
			}
		} else {
			p.RowPanel.Id = id
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("cannot write dashboard %s: %w", b.Uid, err)
	}
	return out.Bytes(), nil
}
