// One request over HTTP or gRPC, and what its answer means.

package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// verdict is what an answer means.
type verdict int

const (
	accepted  verdict = iota
	partly            // some records were rejected and it is not said which; they must not be sent again
	refused           // this request, as it is, never
	operators         // until the operator changes something
)

type client interface {
	// send and measure return an error marked sink.Again if the same request may succeed later.
	send(ctx context.Context, ld plog.Logs) (v verdict, reason string, sent int, err error)
	measure(ctx context.Context, md pmetric.Metrics) (v verdict, reason string, sent int, err error)
	close()
}

func newClient(ctx context.Context, cfg *Config) (client, error) {
	for name, h := range cfg.Headers {
		if _, err := h.read(); err != nil {
			return nil, fmt.Errorf("headers: %s: %w", name, err)
		}
	}
	tc, err := cfg.TLS.LoadTLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Protocol == protocolHTTP {
		return &httpClient{cfg: cfg, http: &http.Client{
			Transport:     &http.Transport{TLSClientConfig: tc, Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}, nil
	}
	creds := insecure.NewCredentials()
	if !cfg.TLS.Insecure {
		if tc == nil {
			tc = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		creds = credentials.NewTLS(tc)
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if cfg.Compression == gzipped {
		opts = append(opts, grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip")))
	}
	conn, err := grpc.NewClient(cfg.Endpoint, opts...)
	if err != nil {
		return nil, errors.New("endpoint is no address that gRPC can use")
	}
	return &grpcClient{cfg: cfg, conn: conn, logs: plogotlp.NewGRPCClient(conn), metrics: pmetricotlp.NewGRPCClient(conn)}, nil
}

type httpClient struct {
	cfg  *Config
	http *http.Client
}

func (c *httpClient) close() { c.http.CloseIdleConnections() }

func (c *httpClient) send(ctx context.Context, ld plog.Logs) (verdict, string, int, error) {
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		return refused, "otlp_marshal", 0, nil
	}
	return c.post(ctx, "/v1/logs", body, func(answer []byte) (rejected int64, err error) {
		r := plogotlp.NewExportResponse()
		err = r.UnmarshalProto(answer)
		return r.PartialSuccess().RejectedLogRecords(), err
	})
}

func (c *httpClient) measure(ctx context.Context, md pmetric.Metrics) (verdict, string, int, error) {
	body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		return refused, "otlp_marshal", 0, nil
	}
	return c.post(ctx, "/v1/metrics", body, func(answer []byte) (rejected int64, err error) {
		r := pmetricotlp.NewExportResponse()
		err = r.UnmarshalProto(answer)
		return r.PartialSuccess().RejectedDataPoints(), err
	})
}

// post makes one request. read says how much was rejected of what an answer with 200 is about.
func (c *httpClient) post(ctx context.Context, path string, body []byte, read func([]byte) (int64, error)) (verdict, string, int, error) {
	if c.cfg.Compression == gzipped {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		_, _ = z.Write(body)
		_ = z.Close()
		body = b.Bytes()
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.cfg.Endpoint, "/")+path, bytes.NewReader(body))
	if err != nil {
		return operators, "otlp_endpoint", 0, nil
	}
	for name, h := range c.cfg.Headers {
		v, err := h.read()
		if err != nil {
			return operators, "otlp_secret", 0, nil
		}
		req.Header.Set(name, v)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.cfg.Compression == gzipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "unanswered", len(body), c.unanswered(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, "unanswered", len(body), c.unanswered(err)
	}
	reason := "http_" + strconv.Itoa(resp.StatusCode)
	switch s := resp.StatusCode; {
	case s == http.StatusOK:
		rejected, err := read(answer)
		if err != nil || len(answer) == maxAnswer {
			return operators, "otlp_no_answer", len(body), nil // a page of a proxy, say
		}
		if rejected > 0 {
			return partly, "otlp_partial", len(body), nil
		}
		return accepted, "ok", len(body), nil
	case s == http.StatusRequestTimeout, s == http.StatusTooManyRequests, s >= 500:
		return 0, reason, len(body), sink.Again(streams.WithReason(fmt.Errorf("%s answered %d", c.cfg.Endpoint, s), reason), reason, sink.RetryAfter(resp.Header, time.Now()), true)
	case (s == http.StatusBadRequest || s == http.StatusRequestEntityTooLarge || s == http.StatusUnprocessableEntity) && !sink.IsPage(answer):
		return refused, reason, len(body), nil
	}
	return operators, reason, len(body), nil
}

// maxAnswer bounds what is read of an answer, bytes; those of OTLP have a few.
const maxAnswer = 64 << 10

func (c *httpClient) unanswered(err error) error {
	return fmt.Errorf("cannot reach %s: %w", c.cfg.Endpoint, sink.Unanswered(err, true))
}

type grpcClient struct {
	cfg     *Config
	conn    *grpc.ClientConn
	logs    plogotlp.GRPCClient
	metrics pmetricotlp.GRPCClient
}

func (c *grpcClient) close() { _ = c.conn.Close() }

func (c *grpcClient) send(ctx context.Context, ld plog.Logs) (verdict, string, int, error) {
	return c.call(ctx, (&plog.ProtoMarshaler{}).LogsSize(ld), func(ctx context.Context) (int64, error) {
		r, err := c.logs.Export(ctx, plogotlp.NewExportRequestFromLogs(ld))
		if err != nil {
			return 0, err
		}
		return r.PartialSuccess().RejectedLogRecords(), nil
	})
}

func (c *grpcClient) measure(ctx context.Context, md pmetric.Metrics) (verdict, string, int, error) {
	return c.call(ctx, (&pmetric.ProtoMarshaler{}).MetricsSize(md), func(ctx context.Context) (int64, error) {
		r, err := c.metrics.Export(ctx, pmetricotlp.NewExportRequestFromMetrics(md))
		if err != nil {
			return 0, err
		}
		return r.PartialSuccess().RejectedDataPoints(), nil
	})
}

// call makes one request of size bytes. export says how much was rejected.
func (c *grpcClient) call(ctx context.Context, size int, export func(context.Context) (int64, error)) (verdict, string, int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	for name, h := range c.cfg.Headers {
		v, err := h.read()
		if err != nil {
			return operators, "otlp_secret", 0, nil
		}
		ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), v)
	}
	rejected, err := export(ctx)
	if err == nil {
		if rejected > 0 {
			return partly, "otlp_partial", size, nil
		}
		return accepted, "ok", size, nil
	}
	code := status.Code(err)
	reason := "grpc_" + strings.ToLower(code.String())
	switch code {
	case codes.InvalidArgument:
		return refused, reason, size, nil
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.NotFound, codes.FailedPrecondition:
		return operators, reason, size, nil
	}
	// ResourceExhausted is also said of a message that is too large for the server: halving makes an end of that.
	if code == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max") {
		return refused, reason, size, nil
	}
	return 0, reason, size, sink.Again(streams.WithReason(fmt.Errorf("%s answered %s", c.cfg.Endpoint, code), reason), reason, 0, true)
}
