package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// target is the installation that a command speaks to: the one in the state folder, or one named by flags and environment.
type target struct {
	stateDir string

	natsURL, natsUser, natsPasswordFile string
	chAddr, chHTTP                      string
	chUser, chPasswordFile              string
	chDatabase                          string
}

// bind adds the flags that name an installation.
func (t *target) bind(c *cobra.Command, nats, clickhouse bool) {
	f := c.Flags()
	f.StringVar(&t.stateDir, "state", state.Default(), "state folder of the installation `DIR` (env MCPSIEM_STATE)")
	if nats {
		f.StringVar(&t.natsURL, "nats-url", os.Getenv("MCPSIEM_NATS_URL"), "speak to this NATS instead `URL` (env MCPSIEM_NATS_URL)")
		f.StringVar(&t.natsUser, "nats-user", os.Getenv("MCPSIEM_NATS_USER"), "NATS user `NAME` (env MCPSIEM_NATS_USER)")
		f.StringVar(&t.natsPasswordFile, "nats-password-file", os.Getenv("MCPSIEM_NATS_PASSWORD_FILE"), "file with its password `FILE` (env MCPSIEM_NATS_PASSWORD_FILE)")
	}
	if clickhouse {
		f.StringVar(&t.chAddr, "clickhouse", os.Getenv("MCPSIEM_CLICKHOUSE"), "speak to this ClickHouse instead, native protocol `HOST:PORT` (env MCPSIEM_CLICKHOUSE)")
		f.StringVar(&t.chHTTP, "clickhouse-http", os.Getenv("MCPSIEM_CLICKHOUSE_HTTP"), "its HTTP address `URL` (env MCPSIEM_CLICKHOUSE_HTTP)")
		f.StringVar(&t.chUser, "clickhouse-user", os.Getenv("MCPSIEM_CLICKHOUSE_USER"), "ClickHouse user `NAME` (env MCPSIEM_CLICKHOUSE_USER)")
		f.StringVar(&t.chPasswordFile, "clickhouse-password-file", os.Getenv("MCPSIEM_CLICKHOUSE_PASSWORD_FILE"), "file with its password `FILE` (env MCPSIEM_CLICKHOUSE_PASSWORD_FILE)")
		f.StringVar(&t.chDatabase, "database", "mcpsiem", "ClickHouse database `NAME`")
	}
}

// resolve fills from the state folder what flags and environment leave open.
func (t *target) resolve() (state.Dir, state.Endpoints, error) {
	d := state.Dir(t.stateDir)
	if t.natsURL != "" || t.chAddr != "" || t.chHTTP != "" {
		return d, state.Endpoints{}, nil
	}
	e, err := d.ReadEndpoints()
	if err != nil {
		return d, e, withCode(exitUnreachable, err)
	}
	if _, running := d.Holder(); !running {
		return d, e, withCode(exitUnreachable, fmt.Errorf("mcpsiem is not running on %s: start it with `mcpsiem up`", d))
	}
	return d, e, nil
}

// nats is the connection to the streams, as the viewer unless pipeline is asked for.
func (t *target) nats(pipeline bool) (streams.NATSConfig, error) {
	if t.natsURL != "" {
		return streams.NATSConfig{URL: t.natsURL, Username: t.natsUser, PasswordFile: t.natsPasswordFile}, nil
	}
	d, e, err := t.resolve()
	if err != nil {
		return streams.NATSConfig{}, err
	}
	user, secret := "viewer", state.SecretNATSViewer
	if pipeline {
		user, secret = "pipeline", state.SecretNATSPipeline
	}
	return streams.NATSConfig{URL: e.NATS, Username: user, PasswordFile: d.Secret(secret)}, nil
}

// clickhouse is the connection to the store, as the analyst unless admin is asked for.
func (t *target) clickhouse(admin bool) (store.Config, error) {
	if t.chAddr != "" {
		return store.Config{Endpoint: t.chAddr, Database: t.chDatabase, Username: t.chUser, PasswordFile: t.chPasswordFile}, nil
	}
	d, e, err := t.resolve()
	if err != nil {
		return store.Config{}, err
	}
	user, secret := "analyst", state.SecretClickHouseRead
	if admin {
		user, secret = "admin", state.SecretClickHouseAdm
	}
	return store.Config{Endpoint: e.ClickHouse, Database: t.chDatabase, Username: user, PasswordFile: d.Secret(secret)}, nil
}

// clickhouseHTTP is the base URL, user and password of the store's HTTP interface, as the analyst.
func (t *target) clickhouseHTTP() (url, user, password string, err error) {
	if t.chHTTP != "" {
		p, err := readPassword(t.chPasswordFile)
		return strings.TrimRight(t.chHTTP, "/"), t.chUser, p, err
	}
	d, e, err := t.resolve()
	if err != nil {
		return "", "", "", err
	}
	p, err := d.ReadSecret(state.SecretClickHouseRead)
	return "http://" + e.ClickHouseHTTP, "analyst", p, err
}

func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
