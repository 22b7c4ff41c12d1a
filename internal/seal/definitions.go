// What people see of the rows: views, computed columns, row policies and filters in settings stand between a sealed row and its reader. Each of them
// could show something else, and no leaf would tell.

package seal

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

// tenantsOnly is the one condition that mcpsiem's own row policies have, for accounts of the one kind that has some (internal/roles).
var tenantsOnly = regexp.MustCompile(`^\(?tenant IN \((?:'(?:[^'\\]|\\.)*'(?:, )?)+\)\)?$`)

// definitions compares views and computed columns with those of this program's migrations, and looks for row policies and settings that hide rows from readers.
func (v *verification) definitions(ctx context.Context) error {
	for _, x := range store.Views(v.db.cfg.Database) {
		// ClickHouse formats both, so that only a difference in what they say counts.
		got, err := v.db.Strings(ctx, "read a view", fmt.Sprintf("SELECT formatQuerySingleLine(as_select) = formatQuerySingleLine(%s) AS x FROM system.tables WHERE database = %s AND name = %s AND as_select != ''",
			lit(x.Select), lit(v.db.cfg.Database), lit(x.Name)))
		switch {
		case err != nil:
			return err
		case len(got) == 0:
			v.problem(ProblemDefinition, fmt.Sprintf("view %s is gone", x.Name))
		case got[0] != "1":
			v.problem(ProblemDefinition, fmt.Sprintf("view %s is not the one of this version's schema: it may show something else than what is stored", x.Name))
		}
	}
	computed := store.Computed("events")
	for _, t := range []*table{eventsTable, findingsTable} {
		got, err := v.db.Strings(ctx, "read column definitions", fmt.Sprintf("SELECT concat(name, ' ', default_kind, ' ', formatQuerySingleLine(concat('SELECT ', default_expression))) AS x FROM system.columns WHERE database = %s AND table = %s AND default_kind != '' ORDER BY name",
			lit(v.db.cfg.Database), lit(t.name)))
		if err != nil {
			return err
		}
		sealed := map[string]bool{}
		for _, c := range t.columns {
			sealed[c.name] = true
		}
		for _, g := range got {
			name, def, _ := strings.Cut(g, " ")
			want, known := computed[name]
			if known && t == eventsTable {
				delete(computed, name)
				f, err := v.db.Strings(ctx, "format an expression", fmt.Sprintf("SELECT concat(%s, ' ', formatQuerySingleLine(concat('SELECT ', %s))) AS x", lit(want.Kind), lit(want.Expression)))
				if err != nil {
					return err
				}
				if known = f[0] == def; known && want.Kind == "MATERIALIZED" {
					if err := v.materialized(ctx, name, want.Expression); err != nil {
						return err
					}
				}
			}
			if !known && (sealed[name] || want.Kind != "") {
				v.problem(ProblemDefinition, fmt.Sprintf("column %s.%s is computed in another way than in this version's schema", t.name, name))
			}
		}
	}
	for name := range computed {
		v.problem(ProblemDefinition, fmt.Sprintf("column events.%s is no longer computed as in this version's schema", name))
	}
	policies, err := v.db.Strings(ctx, "read row policies", fmt.Sprintf("SELECT concat(table, '\t', arrayStringConcat(arrayConcat(if(apply_to_all, ['everybody'], []), apply_to_list), ','), '\t', ifNull(select_filter, '')) AS x FROM system.row_policies WHERE database = %s ORDER BY x", lit(v.db.cfg.Database)))
	if err != nil {
		return err
	}
	for _, p := range policies {
		f := strings.SplitN(p, "\t", 3)
		if !strings.HasPrefix(f[1], "reader_") || strings.Contains(f[1], ",") || !tenantsOnly.MatchString(f[2]) {
			v.problem(ProblemDefinition, fmt.Sprintf("a row policy on %s hides rows from %s; it is none that mcpsiem makes", f[0], f[1]))
		}
	}
	settings, err := v.db.Strings(ctx, "read settings of profiles", "SELECT DISTINCT concat(setting_name, '\t', coalesce(profile_name, user_name, role_name, '')) AS x FROM system.settings_profile_elements WHERE setting_name IN ('additional_table_filters', 'additional_result_filter', 'limit', 'offset') ORDER BY x")
	if err != nil {
		return err
	}
	for _, s := range settings {
		name, of, _ := strings.Cut(s, "\t")
		v.problem(ProblemDefinition, fmt.Sprintf("setting %s of %s hides rows", name, of))
	}
	return nil
}

// materialized compares what is stored of a computed column with what the sealed columns of the row come to.
func (v *verification) materialized(ctx context.Context, name, expression string) error {
	ids, err := v.db.Strings(ctx, "compare a computed column", fmt.Sprintf("SELECT DISTINCT event_id AS x FROM %s WHERE %s AND %s != (%s)", v.db.table("events"), v.period(), name, expression))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !v.named(id) {
			v.note(Problem{What: ProblemChanged, Kind: KindEvent, ID: id, Detail: "column " + name + " is not what its message comes to"})
		}
	}
	return nil
}

// triage compares the history of findings, of which there is no leaf, with what is sealed: the findings as they stand now, and the records of what people did.
func (v *verification) triage(ctx context.Context) error {
	const cols = "rule_id, severity, status, triaged_by, triage_note, toUnixTimestamp64Nano(accepted_until), group_id"
	h, f := v.db.table("finding_history"), v.db.table("findings")
	tenant := lit(v.Tenant)
	for _, q := range []struct{ what, detail, query string }{
		{ProblemMissing, "finding_history has no row for it as it stands now", fmt.Sprintf("SELECT DISTINCT finding_id AS x FROM %s FINAL WHERE tenant = %s AND (finding_id, revision) NOT IN (SELECT finding_id, revision FROM %s WHERE tenant = %s)", f, tenant, h, tenant)},
		{ProblemChanged, "finding_history says something else than the finding", fmt.Sprintf("SELECT DISTINCT a.finding_id AS x FROM (SELECT finding_id, revision, tuple(%[1]s) AS t FROM %[2]s FINAL WHERE tenant = %[4]s) AS a JOIN (SELECT finding_id, revision, tuple(%[1]s) AS t FROM %[3]s FINAL WHERE tenant = %[4]s) AS b ON a.finding_id = b.finding_id AND a.revision = b.revision WHERE a.t != b.t", cols, h, f, tenant)},
		{ProblemAdded, "finding_history has a finding that was never sealed", fmt.Sprintf("SELECT DISTINCT finding_id AS x FROM %[1]s WHERE tenant = %[3]s AND finding_id NOT IN (SELECT id FROM %[2]s WHERE tenant = %[3]s AND kind = '%[4]s') AND finding_id NOT IN (SELECT finding_id FROM %[5]s WHERE tenant = %[3]s)", h, v.db.table("seal_leaves"), tenant, KindFinding, f)},
		{ProblemChanged, "finding_history says something else than the record of the change", fmt.Sprintf("SELECT DISTINCT h.finding_id AS x FROM (SELECT finding_id, revision, status, triaged_by, triage_note FROM %s FINAL WHERE tenant = %s AND revision > 0) AS h JOIN (SELECT toUUIDOrZero(CAST(audit_target, 'String')) AS finding_id, toUInt64OrZero(audit_details['revision']) AS revision, audit_details['to'] AS status, CAST(principal_id, 'String') AS actor, audit_details['note'] AS note FROM %s WHERE tenant = %s AND audit_action = 'finding.triage') AS r ON r.finding_id = h.finding_id AND r.revision = h.revision WHERE CAST(h.status, 'String') != r.status OR CAST(h.triaged_by, 'String') != r.actor OR h.triage_note != r.note",
			h, tenant, v.db.table("events"), tenant)},
	} {
		ids, err := v.db.Strings(ctx, "read the history of findings", q.query)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !v.named(id) {
				v.note(Problem{What: q.what, Kind: KindFinding, ID: id, Detail: q.detail})
			}
		}
	}
	return nil
}
