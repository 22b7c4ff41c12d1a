// Anchors: proofs by others that a checkpoint was there at a time.

package seal

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/mcpsiem/mcpsiem/internal/timestamp"
)

// Kinds of anchors.
const (
	AnchorTSA     = "tsa"     // RFC 3161 time stamp over the signed note
	AnchorWitness = "witness" // C2SP tlog-cosignature over the note's text
	AnchorBucket  = "bucket"  // the signed note as a locked object
)

// AnchorOK is the outcome of an anchor that holds.
const AnchorOK = "ok"

// Anchor is what became of sending a checkpoint to one place.
type Anchor struct {
	Tenant  string
	Size    uint64 // of the checkpoint
	Kind    string
	Name    string
	At      time.Time
	Outcome string // AnchorOK, or why not
	Proof   []byte
	Trust   string // certificates or key that Proof was checked with, for reference
}

// InsertAnchor stores what became of a checkpoint; the last for a checkpoint and place holds.
func (d *DB) InsertAnchor(ctx context.Context, a Anchor) error {
	var size proto.ColUInt64
	var proof proto.ColStr
	tenant, kind, name, outcome, trust := new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality()
	at := new(proto.ColDateTime64).WithPrecision(3)
	tenant.Append(a.Tenant)
	size.Append(a.Size)
	kind.Append(a.Kind)
	name.Append(a.Name)
	at.Append(a.At)
	outcome.Append(a.Outcome)
	proof.AppendBytes(a.Proof)
	trust.Append(a.Trust)
	in := proto.Input{{Name: "tenant", Data: tenant}, {Name: "size", Data: size}, {Name: "kind", Data: kind}, {Name: "name", Data: name}, {Name: "at", Data: at},
		{Name: "outcome", Data: outcome}, {Name: "proof", Data: proof}, {Name: "trust", Data: trust}}
	return d.do(ctx, "write to seal_anchors", ch.Query{Body: "INSERT INTO " + d.table("seal_anchors") + " " + in.Columns() + " VALUES", Input: in, Settings: []ch.Setting{ch.SettingInt("async_insert", 0)}})
}

// Anchors reads what became of a tenant's checkpoints, smallest first; where is a further condition in SQL, or empty.
func (d *DB) Anchors(ctx context.Context, tenant, where string) ([]Anchor, error) {
	var out []Anchor
	var size proto.ColUInt64
	var kind, name, outcome, proof, trust proto.ColStr
	at := new(proto.ColDateTime64).WithPrecision(3)
	if where != "" {
		where = " AND " + where
	}
	err := d.do(ctx, "read anchors", ch.Query{
		Body: fmt.Sprintf("SELECT size, CAST(kind, 'String') AS kind, CAST(name, 'String') AS name, at, CAST(outcome, 'String') AS outcome, proof, CAST(trust, 'String') AS trust FROM %s FINAL WHERE tenant = %s%s ORDER BY size, kind, name",
			d.table("seal_anchors"), lit(tenant), where),
		Result: proto.Results{{Name: "size", Data: &size}, {Name: "kind", Data: &kind}, {Name: "name", Data: &name}, {Name: "at", Data: at}, {Name: "outcome", Data: &outcome},
			{Name: "proof", Data: &proof}, {Name: "trust", Data: &trust}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range size {
				out = append(out, Anchor{tenant, size[i], kind.Row(i), name.Row(i), at.Row(i).UTC(), outcome.Row(i), []byte(proof.Row(i)), trust.Row(i)})
			}
			return nil
		},
	})
	return out, err
}

// NewestAnchors reads the newest anchor that holds, and the newest that does not, of each place.
func (d *DB) NewestAnchors(ctx context.Context, tenant string) ([]Anchor, error) {
	return d.Anchors(ctx, tenant, fmt.Sprintf("(size, kind, name) IN (SELECT max(size), kind, name FROM %s FINAL WHERE tenant = %s GROUP BY kind, name, outcome = '%s')", d.table("seal_anchors"), lit(tenant), AnchorOK))
}

// Trust is what proofs are checked with that somebody brings along: certificates of time stamping authorities and verifier keys of witnesses.
// What is empty is taken from beside the proofs, which whoever can write there can replace.
type Trust struct {
	TSA       []byte   // PEM
	Witnesses []string // verifier keys
}

// CheckAnchor checks an anchor's proof of a signed note, offline, and returns the time that it vouches for. Of a bucket there is nothing to check here:
// the time is zero.
func CheckAnchor(a Anchor, signed []byte, t Trust) (time.Time, error) {
	switch a.Kind {
	case AnchorTSA:
		ca := t.TSA
		if len(ca) == 0 {
			ca = []byte(a.Trust)
		}
		var roots *x509.CertPool
		if len(ca) > 0 {
			if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(ca) {
				return time.Time{}, errors.New("cannot trust the time stamp: the authority's certificates are not PEM")
			}
		}
		info, err := timestamp.Verify(a.Proof, signed, roots)
		return info.Time, err
	case AnchorWitness:
		keys := t.Witnesses
		if len(keys) == 0 {
			keys = []string{a.Trust}
		}
		err := error(ErrCosignature)
		for _, k := range keys {
			var at time.Time
			if at, err = CheckCosignature(signed, a.Proof, k); err == nil {
				return at, nil
			}
		}
		return time.Time{}, err
	}
	return time.Time{}, nil
}
