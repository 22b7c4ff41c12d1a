package jetstream

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type generator struct {
	t    *testing.T
	js   natsjs.JetStream
	next atomic.Int64
}

func (g *generator) Start() {}
func (g *generator) Stop()  {}

func (g *generator) Generate() []receivertest.UniqueIDAttrVal {
	id := receivertest.UniqueIDAttrVal(strconv.FormatInt(g.next.Add(1), 10))
	ld := plog.NewLogs()
	receivertest.CreateOneLogWithID(id).CopyTo(ld)
	b, err := streams.Encode(ld)
	if err != nil {
		g.t.Fatal(err)
	}
	m := &nats.Msg{Subject: streams.SubjectEvents, Data: b, Header: nats.Header{}}
	m.Header.Set(streams.HeaderEncoding, streams.EncodingZstd)
	if _, err := g.js.PublishMsg(context.Background(), m); err != nil {
		g.t.Fatal(err)
	}
	return []receivertest.UniqueIDAttrVal{id}
}

func TestConsumeContract(t *testing.T) {
	e := newEnv(t)
	for name, edit := range map[string]func(*Config){
		"in order":     func(*Config) {},
		"four workers": func(c *Config) { c.Workers = 4 },
		// Not combined: a batch that is refused is then tried message by message on purpose.
	} {
		t.Run(name, func(t *testing.T) {
			receivertest.CheckConsumeContract(receivertest.CheckConsumeContractParams{
				T:       t,
				Factory: NewFactory(),
				Signal:  pipeline.SignalLogs,
				Config: e.config(streams.Events, edit, func(c *Config) {
					c.Durable = "contract"
					c.Retry = RetryConfig{Initial: 1e6, Max: 1e6}
					c.Circuit = CircuitConfig{Failures: 5, Pause: 1e6, MaxPause: 1e6}
				}),
				Generator:     &generator{t: t, js: e.js},
				GenerateCount: 100,
			})
		})
	}
}
