package dashboards

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

const provisioning = "../deploy/grafana/provisioning"

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(provisioning, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// Every alert asks for one number, which the analyst may read, and judges it.
func TestAlertRules(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				UID, Title, Condition string
				Annotations           map[string]string
				Data                  []struct {
					RefID         string `yaml:"refId"`
					DatasourceUID string `yaml:"datasourceUid"`
					Model         map[string]any
				}
			}
		}
	}
	readYAML(t, "alerting/rules.yaml", &rules)
	var sources struct{ Datasources []struct{ UID, Type string } }
	readYAML(t, "datasources/mcpsiem.yaml", &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != datasourceType {
		t.Fatalf("data sources %+v", sources)
	}
	uids := map[string]bool{}
	for _, b := range Boards() {
		uids[b.Uid] = true
	}
	seen := map[string]bool{}
	analyst := storetest.Open(t, chdb.UserAnalyst)
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			if seen[r.UID] || r.Condition != "C" || len(r.Data) != 3 || !uids[r.Annotations["__dashboardUid__"]] {
				t.Errorf("rule %s: %+v", r.UID, r)
				continue
			}
			seen[r.UID] = true
			if r.Data[0].DatasourceUID != sources.Datasources[0].UID {
				t.Errorf("rule %s asks data source %s", r.UID, r.Data[0].DatasourceUID)
			}
			rows, err := analyst.Query(context.Background(), r.Data[0].Model["rawSql"].(string))
			if err != nil {
				t.Errorf("rule %s: %v", r.UID, err)
				continue
			}
			if len(rows.Columns()) != 1 || rows.Columns()[0] != "value" || !strings.Contains(rows.ColumnTypes()[0].DatabaseTypeName(), "nt") && rows.ColumnTypes()[0].DatabaseTypeName() != "Float64" {
				t.Errorf("rule %s: columns %v of type %s", r.UID, rows.Columns(), rows.ColumnTypes()[0].DatabaseTypeName())
			}
			rows.Close()
		}
	}
	if n == 0 {
		t.Error("no rules")
	}
}
