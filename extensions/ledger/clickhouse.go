// Rows into ClickHouse.

package ledger

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// table writes rows. It connects when it has something to write and again after any error, so that a changed password is read. Not for
// concurrent use.
type table struct {
	cfg  *ClickHouseConfig
	conn driver.Conn
}

func (t *table) open(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	password := string(t.cfg.Password)
	if t.cfg.PasswordFile != "" {
		b, err := os.ReadFile(t.cfg.PasswordFile)
		if err != nil {
			return fmt.Errorf("cannot read clickhouse.password_file: %w", err)
		}
		password = strings.TrimSpace(string(b))
	}
	var tc *tls.Config
	if t.cfg.TLS != nil {
		var err error
		if tc, err = t.cfg.TLS.LoadTLSConfig(ctx); err != nil {
			return fmt.Errorf("cannot load clickhouse.tls: %w", err)
		}
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:         []string{t.cfg.Endpoint},
		Auth:         clickhouse.Auth{Database: t.cfg.Database, Username: t.cfg.Username, Password: password},
		TLS:          tc,
		DialTimeout:  5 * time.Second,
		MaxOpenConns: 1,
		MaxIdleConns: 1,
		// The insert has to be on disk when it returns. A server that was killed in the middle of one may remember the block and not have it, so that it
		// would not take it again: repetitions are left to the table.
		Settings: clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 0},
	})
	if err != nil {
		return fmt.Errorf("cannot connect to ClickHouse: %w", err)
	}
	t.conn = conn
	return nil
}

func (t *table) insert(ctx context.Context, rows []row) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	err := func() error {
		b, err := t.conn.PrepareBatch(ctx, "INSERT INTO `"+t.cfg.Database+"`.ledger (stream, seq, records, sink, reason, origin, published_at)")
		if err != nil {
			return err
		}
		defer b.Close()
		for _, r := range rows {
			if err := b.Append(r.stream, r.seq, r.records, r.sink, r.reason, r.origin, r.publishedAt); err != nil {
				return err
			}
		}
		return b.Send()
	}()
	if err != nil {
		t.close()
		return fmt.Errorf("cannot write to the ledger: %w", err)
	}
	return nil
}

func (t *table) close() {
	if t.conn != nil {
		t.conn.Close()
		t.conn = nil
	}
}
