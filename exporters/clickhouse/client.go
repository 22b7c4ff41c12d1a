// Connections: a few, opened when needed, thrown away after any error. A connection is used only after the server's schema was seen to
// be this program's.

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// slot is one place in the pool: a connection, if open, and the blocks that are sent over it. Whoever holds the slot owns them.
type slot struct {
	client   *ch.Client
	events   *eventBlock
	findings *findingBlock
	tools    *toolBlock
}

func newSlot() *slot {
	return &slot{events: newEventBlock(), findings: newFindingBlock(), tools: newToolBlock()}
}

func (s *slot) close() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}

func (s *slot) reset() {
	s.events.reset()
	s.findings.reset()
	s.tools.reset()
}

// connect opens the slot's connection where it is not open.
func (e *chExporter) connect(ctx context.Context, s *slot) error {
	if s.client != nil && !s.client.IsClosed() {
		return nil
	}
	password, err := e.cfg.password()
	if err != nil {
		return err
	}
	tlsConfig, err := e.cfg.tls(ctx)
	if err != nil {
		return fmt.Errorf("cannot load the TLS configuration: %w", err)
	}
	compression := ch.CompressionLZ4
	if host, _, _ := net.SplitHostPort(e.cfg.Endpoint); host == "localhost" || net.ParseIP(host).IsLoopback() {
		compression = ch.CompressionDisabled
	}
	dctx, cancel := context.WithTimeout(ctx, e.cfg.DialTimeout)
	defer cancel()
	c, err := ch.Dial(dctx, ch.Options{
		Address: e.cfg.Endpoint, Database: e.cfg.Database, User: e.cfg.Username, Password: password, TLS: tlsConfig, Compression: compression,
		DialTimeout: e.cfg.DialTimeout, HandshakeTimeout: e.cfg.DialTimeout, ReadTimeout: e.cfg.ReadTimeout, ClientName: "mcpsiem",
	})
	if err != nil {
		return classify("connect to ClickHouse at "+e.cfg.Endpoint, err)
	}
	if err := e.checkSchema(ctx, c); err != nil {
		_ = c.Close()
		return err
	}
	s.client = c
	return nil
}

// errSchema marks an error that `mcpsiem migrate` mends.
var errSchema = errors.New("wrong schema")

func (e *chExporter) checkSchema(ctx context.Context, c *ch.Client) error {
	var version proto.ColUInt32
	var sum proto.ColStr
	applied := map[uint32]string{}
	err := c.Do(ctx, ch.Query{
		Body:   store.AppliedQuery(e.cfg.Database),
		Result: proto.Results{{Name: "version", Data: &version}, {Name: "checksum", Data: &sum}},
		OnResult: func(context.Context, proto.Block) error {
			for i, v := range version {
				applied[v] = sum.Row(i)
			}
			return nil
		},
	})
	if err != nil && !ch.IsErr(err, proto.ErrUnknownTable) {
		return classify("read the schema's version", err)
	}
	if err := store.CompareSchema(applied); err != nil {
		return streams.WithReason(fmt.Errorf("%w: %w", errSchema, err), "schema")
	}
	return nil
}

// insert sends a block and returns when it is stored. The same block, sent again with its token within the server's window, is stored once; without a
// token the server compares nothing.
func (e *chExporter) insert(ctx context.Context, s *slot, table, token string, in proto.Input) error {
	if err := e.connect(ctx, s); err != nil {
		return err
	}
	began := time.Now()
	settings := []ch.Setting{
		ch.SettingInt("async_insert", 0),
		ch.SettingInt("throw_on_max_partitions_per_insert_block", 0), // many days in one batch are no error
	}
	if token != "" {
		settings = append(settings, ch.SettingInt("insert_deduplicate", 1), ch.Setting{Key: "insert_deduplication_token", Value: token, Important: true})
	} else {
		settings = append(settings, ch.SettingInt("insert_deduplicate", 0))
	}
	err := s.client.Do(ctx, ch.Query{Body: "INSERT INTO `" + e.cfg.Database + "`." + table + " " + in.Columns() + " VALUES", Input: in, Settings: settings})
	if err != nil {
		s.close()
		return classify("insert into "+table, err)
	}
	e.telemetry.inserted(ctx, table, in[0].Data.Rows(), time.Since(began))
	return nil
}

// present asks which of the ids are stored already, in rows that meet the condition where.
func (e *chExporter) present(ctx context.Context, s *slot, table, column, where string, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	if err := e.connect(ctx, s); err != nil {
		return nil, err
	}
	asked := proto.ColUUID(ids)
	var got proto.ColUUID
	found := map[uuid.UUID]bool{}
	err := s.client.Do(ctx, ch.Query{
		Body:          fmt.Sprintf("SELECT %s FROM `%s`.%s WHERE %s AND %s IN (SELECT id FROM asked)", column, e.cfg.Database, table, where, column),
		ExternalTable: "asked",
		ExternalData:  []proto.InputColumn{{Name: "id", Data: asked}},
		Result:        proto.Results{{Name: column, Data: &got}},
		OnResult: func(context.Context, proto.Block) error {
			for _, id := range got {
				found[id] = true
			}
			return nil
		},
	})
	if err != nil {
		s.close()
		return nil, classify("look for stored rows in "+table, err)
	}
	return found, nil
}
