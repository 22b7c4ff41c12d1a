package main

// What Elasticsearch, OpenSearch and Kibana need before events go there.

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/deploy/elastic"
	exporter "github.com/mcpsiem/mcpsiem/exporters/elastic"
	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func newElastic() *cobra.Command {
	c := &cobra.Command{
		Use:     "elastic",
		GroupID: "run",
		Short:   "Prepare Elasticsearch, OpenSearch and Kibana",
	}
	c.AddCommand(newElasticSetup())
	return c
}

type elasticFlags struct {
	target
	url, kibana                       string
	apiKeyFile, user, passwordFile    string
	anonymous                         bool
	caFile                            string
	namespaces                        []string
	eventDays, findingDays, auditDays int
	replicas                          int
	rules, dry, asJSON                bool
	timeout                           time.Duration
}

func newElasticSetup() *cobra.Command {
	f := elasticFlags{}
	days := elastic.DefaultRetention()
	c := &cobra.Command{
		Use:   "setup --url URL",
		Short: "Put templates, retention, dashboards and detection rules into a cluster",
		Long: `Put index templates and retention policies into Elasticsearch (8, 9, Serverless) or OpenSearch (2.12 and later, 3), and with --kibana-url dashboards into Kibana or OpenSearch
Dashboards, with --rules also detection rules into Elastic Security (turned off; turn on what you want).

It finds out which of them it is, can be repeated and changes only what is mcpsiem's. The elastic exporter holds its records back until it has run once.

The credential needs: manage_index_templates, manage_ilm and monitor of the cluster and, with --namespace, create_index on logs-mcpsiem.*. It is not the exporter's, which needs much less: deploy/elastic/elasticsearch/api-key.json.
With a running installation in the state folder the setup is recorded in the audit trail (installation.setup).`,
		Example: `  mcpsiem elastic setup --url https://es.example.com:9200 --api-key-file admin.key --dry-run
  mcpsiem elastic setup --url https://es.example.com:9200 --api-key-file admin.key --kibana-url https://kibana.example.com/s/security --rules
  mcpsiem elastic setup --url https://opensearch:9200 --user admin --password-file pw --ca-file root-ca.pem --namespace prod
  mcpsiem elastic setup --url http://localhost:9200 --anonymous --replicas 0      # one node, for trying`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runElasticSetup(c, &f) },
	}
	f.target.bind(c, true, false)
	fl := c.Flags()
	fl.StringVar(&f.url, "url", "", "the cluster `URL`")
	fl.StringVar(&f.kibana, "kibana-url", "", "put dashboards into this Kibana; with /s/NAME into a space `URL`")
	fl.StringVar(&f.apiKeyFile, "api-key-file", "", "file with an API key, encoded or id:key `FILE`")
	fl.StringVar(&f.user, "user", "", "user, with --password-file `NAME`")
	fl.StringVar(&f.passwordFile, "password-file", "", "file with its password `FILE`")
	fl.BoolVar(&f.anonymous, "anonymous", false, "the cluster asks for no credential")
	fl.StringVar(&f.caFile, "ca-file", "", "certificates of the authority behind the cluster's `FILE`")
	fl.StringSliceVar(&f.namespaces, "namespace", nil, "make the data streams of this `NAMESPACE` now; may be repeated")
	fl.IntVar(&f.eventDays, "keep-events", days[sink.KindEvent], "keep events this many `DAYS` after their index was rolled over")
	fl.IntVar(&f.findingDays, "keep-findings", days[sink.KindFinding], "keep findings this many `DAYS`")
	fl.IntVar(&f.auditDays, "keep-audit", days[sink.KindAudit], "keep audit records this many `DAYS`")
	fl.IntVar(&f.replicas, "replicas", -1, "replicas of each shard `N`; the cluster's default unless given")
	fl.BoolVar(&f.rules, "rules", false, "with --kibana-url: detection rules too")
	fl.BoolVar(&f.dry, "dry-run", false, "only show what would be put")
	fl.BoolVar(&f.asJSON, "json", false, "print a JSON object")
	fl.DurationVar(&f.timeout, "timeout", time.Minute, "of one request `DURATION`")
	return c
}

func (f *elasticFlags) auth() exporter.Auth {
	a := exporter.Auth{Username: f.user, Anonymous: f.anonymous}
	if f.apiKeyFile != "" {
		a.APIKey = sink.Secret{File: f.apiKeyFile}
	}
	if f.passwordFile != "" {
		a.Password = sink.Secret{File: f.passwordFile}
	}
	return a
}

func runElasticSetup(c *cobra.Command, f *elasticFlags) error {
	ctx := c.Context()
	usage := func(format string, a ...any) error { return withCode(exitUsage, fmt.Errorf(format, a...)) }
	if f.url == "" {
		return usage("which cluster? --url https://es.example.com:9200")
	}
	for name, u := range map[string]string{"--url": f.url, "--kibana-url": f.kibana} {
		if u != "" {
			if err := exporter.ValidateEndpoint(u); err != nil {
				return usage("%s %w", name, err)
			}
		}
	}
	auth := f.auth()
	if err := auth.Validate(); err != nil {
		return usage("set --api-key-file, or --user and --password-file, or --anonymous")
	}
	if f.rules && f.kibana == "" {
		return usage("--rules needs --kibana-url: detection rules are Kibana's")
	}
	var t *tls.Config
	if f.caFile != "" {
		var err error
		if t, err = (configtls.ClientConfig{Config: configtls.Config{CAFile: f.caFile}}).LoadTLSConfig(ctx); err != nil {
			return usage("--ca-file: %w", err)
		}
	}
	o := elastic.Options{Namespaces: f.namespaces, Retention: elastic.Retention{sink.KindEvent: f.eventDays, sink.KindFinding: f.findingDays, sink.KindAudit: f.auditDays}}
	if f.replicas >= 0 {
		o.Replicas = &f.replicas
	}
	if _, err := elastic.Assets(exporter.Version{Flavour: exporter.Elasticsearch, Major: 9}, o); err != nil {
		return usage("%w", err)
	}
	recorded := false
	if !f.dry {
		var err error
		if recorded, err = f.record(ctx); err != nil {
			return err
		}
	}
	client := exporter.NewClient([]string{f.url}, auth, t, f.timeout, 1)
	defer client.Close()
	version, steps, err := elastic.Install(ctx, client, o, f.dry)
	if err == nil && f.kibana != "" {
		k := exporter.NewClient([]string{f.kibana}, auth, t, f.timeout, 1)
		defer k.Close()
		var more []elastic.Step
		more, err = elastic.InstallKibana(ctx, k, version.Flavour == exporter.OpenSearch, f.rules, f.dry)
		steps = append(steps, more...)
		if f.rules && version.Flavour == exporter.OpenSearch {
			fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: OpenSearch has no detection rules of this kind: none were put")
		}
	}
	if perr := f.print(c, version, steps, recorded); perr != nil && err == nil {
		err = perr
	}
	var unreachable interface{ Timeout() bool }
	if err != nil && sink.IsAgain(err) || errors.As(err, &unreachable) {
		return withCode(exitUnreachable, err)
	}
	return err
}

// record writes the audit record if there is an installation to write it to, before anything is changed.
func (f *elasticFlags) record(ctx context.Context) (bool, error) {
	if f.natsURL == "" {
		if _, running := state.Dir(f.stateDir).Holder(); !running {
			return false, nil
		}
	}
	nats, err := f.nats(true)
	if err != nil {
		return false, err
	}
	d := map[string]string{"templates_version": fmt.Sprint(elastic.TemplatesVersion)}
	if len(f.namespaces) > 0 {
		d["namespaces"] = strings.Join(f.namespaces, ",")
	}
	if f.kibana != "" {
		d["kibana"] = f.kibana
	}
	d["keep_days"] = fmt.Sprintf("events %d, findings %d, audit %d", f.eventDays, f.findingDays, f.auditDays)
	return true, audit.WriteTo(ctx, nats, audit.Record{Action: audit.InstallationSetup, Target: "elastic: " + f.url, Details: d})
}

func (f *elasticFlags) print(c *cobra.Command, v exporter.Version, steps []elastic.Step, recorded bool) error {
	if f.asJSON {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		if steps == nil {
			steps = []elastic.Step{}
		}
		return e.Encode(struct {
			Server   string         `json:"server"`
			Version  string         `json:"version"`
			DryRun   bool           `json:"dry_run"`
			Recorded bool           `json:"recorded"` // in the audit trail
			Steps    []elastic.Step `json:"steps"`
		}{string(v.Flavour), v.Number, f.dry, recorded, steps})
	}
	if len(steps) == 0 {
		return nil
	}
	fmt.Fprintf(c.OutOrStdout(), "%s at %s\n\n", v, f.url)
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	for _, s := range steps {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Result, s.Name, s.Note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case f.dry:
	case !recorded:
		fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: not recorded in an audit trail: no mcpsiem is running on", f.stateDir)
	case slices.ContainsFunc(steps, func(s elastic.Step) bool { return s.Result == elastic.ResultPut }):
		fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: recorded in the audit trail (installation.setup)")
	}
	return nil
}
