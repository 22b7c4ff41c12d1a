package jetstream

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// otlp puts an otlp receiver in front of e and returns senders over HTTP and gRPC.
func otlp(t *testing.T, e exporter.Logs) (httpSend func(plog.Logs) (code int, retryAfter string), grpcSend func(plog.Logs) error) {
	t.Helper()
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	httpAddr, grpcAddr := free(), free()
	f := otlpreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"http": map[string]any{"endpoint": httpAddr}, "grpc": map[string]any{"endpoint": grpcAddr}}}).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	r, err := f.CreateLogs(context.Background(), receivertest.NewNopSettings(f.Type()), cfg, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); r.Shutdown(context.Background()) })
	httpSend = func(ld plog.Logs) (int, string) {
		t.Helper()
		b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Post("http://"+httpAddr+"/v1/logs", "application/x-protobuf", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Retry-After")
	}
	grpcSend = func(ld plog.Logs) error {
		_, err := plogotlp.NewGRPCClient(conn).Export(context.Background(), plogotlp.NewExportRequestFromLogs(ld))
		return err
	}
	return httpSend, grpcSend
}

// What a sender is told decides whether it keeps its data.
func TestSenderIsTold(t *testing.T) {
	s := natsdtest.New(t, func(o *natsd.Options) { o.MaxPayload = 1 << 20 })
	e := start(t, s, streams.Raw, func(c *Config) { c.Limits.MaxBytes = 100_000 })
	httpSend, grpcSend := otlp(t, e)

	if code, _ := httpSend(records(1, 1, 10)); code != 200 {
		t.Fatalf("stored: HTTP %d", code)
	}
	if err := grpcSend(records(2, 1, 10)); err != nil {
		t.Fatalf("stored: %v", err)
	}

	if code, _ := httpSend(records(3, 1, 1100<<10)); code != 400 {
		t.Errorf("too large: HTTP %d, want one that is not retried", code)
	}
	if err := grpcSend(records(3, 1, 1100<<10)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("too large: %v", err)
	}

	code, after := httpSend(records(4, 10, 15_000))
	if n, _ := strconv.Atoi(after); code != 429 || n < 1 {
		t.Errorf("full: HTTP %d, Retry-After %q", code, after)
	}
	err := grpcSend(records(4, 10, 15_000))
	st := status.Convert(err)
	retry := false
	for _, d := range st.Details() {
		_, ok := d.(*errdetails.RetryInfo)
		retry = retry || ok
	}
	if st.Code() != codes.ResourceExhausted || !retry { // without RetryInfo it would not be retried
		t.Errorf("full: %v, retry info %t", err, retry)
	}

	if err := s.JS().DeleteStream(context.Background(), streams.Raw); err != nil {
		t.Fatal(err)
	}
	if code, _ := httpSend(records(5, 1, 10)); code != 503 {
		t.Errorf("no stream: HTTP %d", code)
	}
	s.Stop()
	if code, _ := httpSend(records(5, 1, 10)); code != 503 {
		t.Errorf("no server: HTTP %d", code)
	}
	if err := grpcSend(records(5, 1, 10)); status.Code(err) != codes.Unavailable {
		t.Errorf("no server: %v", err)
	}
}
