package distro

import (
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/bearertokenauthextension"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/healthcheckextension"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/filelogreceiver"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"

	detect "github.com/mcpsiem/mcpsiem/detectors/connector"
	clickhouseexporter "github.com/mcpsiem/mcpsiem/exporters/clickhouse"
	"github.com/mcpsiem/mcpsiem/exporters/elastic"
	jetstreamexporter "github.com/mcpsiem/mcpsiem/exporters/jetstream"
	"github.com/mcpsiem/mcpsiem/exporters/ocsf"
	"github.com/mcpsiem/mcpsiem/exporters/otlp"
	"github.com/mcpsiem/mcpsiem/exporters/pagerduty"
	"github.com/mcpsiem/mcpsiem/exporters/parquet"
	"github.com/mcpsiem/mcpsiem/exporters/slack"
	"github.com/mcpsiem/mcpsiem/exporters/splunkhec"
	"github.com/mcpsiem/mcpsiem/exporters/syslog"
	"github.com/mcpsiem/mcpsiem/exporters/webhook"
	"github.com/mcpsiem/mcpsiem/extensions/journal"
	"github.com/mcpsiem/mcpsiem/extensions/ledger"
	"github.com/mcpsiem/mcpsiem/extensions/page"
	"github.com/mcpsiem/mcpsiem/extensions/retention"
	"github.com/mcpsiem/mcpsiem/extensions/seal"
	"github.com/mcpsiem/mcpsiem/processors/decode"
	"github.com/mcpsiem/mcpsiem/processors/identity"
	"github.com/mcpsiem/mcpsiem/processors/inspect"
	"github.com/mcpsiem/mcpsiem/processors/tokens"
	"github.com/mcpsiem/mcpsiem/processors/triage"
	jetstreamreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// Factories lists every component of the distribution.
func Factories() (f otelcol.Factories, err error) {
	if f.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](
		otlpreceiver.NewFactory(),
		filelogreceiver.NewFactory(),
		jetstreamreceiver.NewFactory(),
	); err != nil {
		return f, err
	}
	if f.Processors, err = otelcol.MakeFactoryMap[processor.Factory](
		memorylimiterprocessor.NewFactory(),
		identity.NewFactory(),
		tokens.NewFactory(),
		inspect.NewFactory(),
		triage.NewFactory(),
	); err != nil {
		return f, err
	}
	if f.Connectors, err = otelcol.MakeFactoryMap[connector.Factory](
		decode.NewFactory(),
		detect.NewFactory(),
	); err != nil {
		return f, err
	}
	if f.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](
		jetstreamexporter.NewFactory(),
		clickhouseexporter.NewFactory(),
		ocsf.NewFactory(),
		otlp.NewFactory(),
		parquet.NewFactory(),
		splunkhec.NewFactory(),
		pagerduty.NewFactory(),
		webhook.NewFactory(),
		slack.NewFactory(),
		syslog.NewFactory(),
		elastic.NewFactory(),
		debugexporter.NewFactory(),
	); err != nil {
		return f, err
	}
	if f.Extensions, err = otelcol.MakeFactoryMap[extension.Factory](
		bearertokenauthextension.NewFactory(),
		healthcheckextension.NewFactory(),
		filestorage.NewFactory(),
		journal.NewFactory(),
		ledger.NewFactory(),
		retention.NewFactory(),
		seal.NewFactory(),
		page.NewFactory(),
	); err != nil {
		return f, err
	}
	f.Telemetry = otelconftelemetry.NewFactory()
	return f, nil
}
