// Producing events to Kafka.

package ocsf

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.opentelemetry.io/collector/component"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// producer is idempotent: what the client repeats is there once. What a new process or a redelivery repeats is there twice, with the same key
// and metadata.uid.
type producer struct {
	cfg    *KafkaConfig
	tel    *sink.Telemetry
	client *kgo.Client
}

func newProducer(cfg *KafkaConfig, tel *sink.Telemetry, _ component.TelemetrySettings) *producer {
	return &producer{cfg: cfg, tel: tel}
}

func (t *producer) start(ctx context.Context, _ component.Host) error {
	opts := []kgo.Opt{
		kgo.SeedBrokers(t.cfg.Brokers...),
		kgo.ClientID("mcpsiem"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(t.cfg.MaxBytes),
		kgo.ProducerBatchCompression(map[string]kgo.CompressionCodec{none: kgo.NoCompression(), gzipped: kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
			"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[t.cfg.Compression]),
		kgo.RecordDeliveryTimeout(t.cfg.Timeout),
		kgo.UnknownTopicRetries(2),
		kgo.ProducerLinger(0),
	}
	if t.cfg.TLS != nil {
		tc, err := t.cfg.TLS.LoadTLSConfig(ctx)
		if err != nil {
			return err
		}
		if tc == nil {
			tc = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		opts = append(opts, kgo.DialTLSConfig(tc))
	}
	if s := t.cfg.SASL; s != nil {
		if _, err := s.Password.Read(); err != nil {
			return err
		}
		switch s.Mechanism {
		case "plain":
			opts = append(opts, kgo.SASL(plain.Plain(func(context.Context) (plain.Auth, error) {
				p, err := s.Password.Read()
				return plain.Auth{User: s.Username, Pass: p}, err
			})))
		default:
			auth := func(context.Context) (scram.Auth, error) {
				p, err := s.Password.Read()
				return scram.Auth{User: s.Username, Pass: p}, err
			}
			if s.Mechanism == "scram-sha-256" {
				opts = append(opts, kgo.SASL(scram.Sha256(auth)))
			} else {
				opts = append(opts, kgo.SASL(scram.Sha512(auth)))
			}
		}
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("cannot set up Kafka: %w", err)
	}
	t.client = c // brokers that are away are no error: events wait in the stream
	return nil
}

func (t *producer) stop() error {
	if t.client != nil {
		t.client.Close()
	}
	return nil
}

func (t *producer) topic(k sink.Kind) string {
	topic := map[sink.Kind]string{sink.KindEvent: t.cfg.Topics.Event, sink.KindFinding: t.cfg.Topics.Finding, sink.KindAudit: t.cfg.Topics.Audit}[k]
	if topic == "" {
		topic = t.cfg.Topic
	}
	return topic
}

// deliver returns when the brokers have answered for every event.
func (t *producer) deliver(ctx context.Context, events []output, done func(*output), refuse func(*output, string)) error {
	begin := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	size := 0
	for i := range events {
		ev := &events[i]
		size += len(ev.body)
		wg.Add(1)
		r := &kgo.Record{Topic: t.topic(ev.kind), Key: []byte(ev.route), Value: ev.body, Headers: []kgo.RecordHeader{{Key: "ocsf-class", Value: []byte(ev.class)}}}
		t.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done(ev)
			case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.RecordListTooLarge):
				refuse(ev, "kafka_"+word(err))
			case failed == nil:
				failed = streams.WithReason(fmt.Errorf("events were not taken by Kafka: %w", err), "kafka_"+word(err))
			}
		})
	}
	wg.Wait()
	outcome := "ok"
	if failed != nil {
		outcome = streams.Reason(failed)
	}
	t.tel.Request(ctx, size, size, time.Since(begin), outcome)
	return failed
}

// word names an error of Kafka by its protocol name, or its kind.
func word(err error) string {
	var k *kerr.Error
	switch {
	case errors.As(err, &k):
		return k.Message
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return "unanswered"
}
