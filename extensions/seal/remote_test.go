package seal

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/seal/witnesstest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/timestamp/tsatest"
)

// outside is one of each.
type outside struct {
	tsa     *tsatest.TSA
	witness *witnesstest.Witness
	s3      *s3
	with    func(*Config)
}

func newOutside(x *site, options ...tsatest.Option) *outside {
	x.t.Helper()
	o := &outside{tsa: tsatest.New(x.t, options...), witness: witnesstest.New(x.t, "witness.example/w1"), s3: newS3(x.t)}
	ca, secret := filepath.Join(x.dir, "tsa.pem"), filepath.Join(x.dir, "s3.secret")
	for f, b := range map[string][]byte{ca: o.tsa.CAPEM, secret: []byte("secret\n")} {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			x.t.Fatal(err)
		}
	}
	key, err := seal.LoadKey(filepath.Join(x.dir, "seal.key"))
	if err != nil {
		x.t.Fatal(err)
	}
	o.witness.Know(x.t, key.VerifierKey("acme"))
	r := RemoteConfig{Interval: 30 * time.Millisecond, Retry: 50 * time.Millisecond, Timeout: 2 * time.Second}
	o.with = func(c *Config) {
		c.Anchors.TSA = []TSAConfig{{RemoteConfig: r, URL: o.tsa.URL, CAFile: ca}}
		c.Anchors.Witnesses = []WitnessConfig{{RemoteConfig: r, URL: o.witness.URL, Key: o.witness.Key}}
		c.Anchors.Buckets = []BucketConfig{{RemoteConfig: r, Endpoint: o.s3.URL, Region: "eu-central-1", Bucket: "worm", AccessKey: "AKIDEXAMPLE", SecretKeyFile: secret}}
	}
	return o
}

// anchors are the newest of each kind, and what became of them.
func (x *site) anchors(where string) map[string]seal.Anchor {
	x.t.Helper()
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	all, err := db.Anchors(context.Background(), "acme", where)
	if err != nil {
		x.t.Fatal(err)
	}
	out := map[string]seal.Anchor{}
	for _, a := range all {
		out[a.Kind] = a
	}
	return out
}

func (x *site) more(n string, first, count int) {
	x.t.Helper()
	x.publish(n, sealtest.Batch(0, sealtest.Events("acme", first, count)...))
	x.store(true)
}

func TestRemotes(t *testing.T) {
	x := newSite(t)
	o := newOutside(x)
	e, _ := x.start(o.with)
	x.more("1", 1, 100)
	ok := "outcome = 'ok'"
	x.eventually("anchored everywhere", func() bool { return len(x.anchors(ok+" AND size >= 100")) == 3 })
	x.more("2", 101, 100)
	x.eventually("anchored again", func() bool { x.store(true); return len(x.anchors(ok+" AND size >= 200")) == 3 })
	r := x.verify("acme")
	if !r.OK || r.Timestamps < 2 || r.Cosignatures < 2 || r.Anchored == nil || r.Anchored.Size < 200 || time.Since(r.Anchored.At).Abs() > time.Minute {
		t.Errorf("%s", sealtest.Text(r))
	}
	// With what the auditor brought along, and with what he brought along of somebody else.
	trust := func(tr seal.Trust) *seal.Report {
		return sealtest.Verify(t, filepath.Join(x.dir, "seal"), "acme", func(v *seal.VerifyOptions) { v.Trust = tr })
	}
	if r := trust(seal.Trust{TSA: o.tsa.CAPEM, Witnesses: []string{witnesstest.New(t, "w").Key, o.witness.Key}}); !r.OK {
		t.Errorf("%s", sealtest.Text(r))
	}
	if r := trust(seal.Trust{TSA: tsatest.New(t).CAPEM}); r.OK || r.Timestamps != 0 || r.Problems[0].What != seal.ProblemAnchor {
		t.Errorf("%s", sealtest.Text(r))
	}
	if r := trust(seal.Trust{Witnesses: []string{witnesstest.New(t, "witness.example/w1").Key}}); r.OK || r.Cosignatures != 0 || r.Problems[0].What != seal.ProblemAnchor {
		t.Errorf("%s", sealtest.Text(r))
	}
	// A proof that is moved to another checkpoint is found.
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	kept, err := db.Checkpoints(context.Background(), "acme", "", 0)
	if err != nil || len(kept) < 2 {
		t.Fatal(len(kept), err)
	}
	moved := x.anchors(ok)[seal.AnchorTSA]
	moved.Size = kept[0].Checkpoint.Size
	moved.Name = "elsewhere"
	if err := db.InsertAnchor(context.Background(), moved); err != nil {
		t.Fatal(err)
	}
	if r := x.verify("acme"); r.OK || !strings.Contains(sealtest.Text(r), "elsewhere") {
		t.Errorf("%s", sealtest.Text(r))
	}

	// What was signed while a remote was away is sent after a restart.
	o.tsa.Do(tsatest.ServerError)
	x.more("3", 201, 100)
	x.eventually("sealed", func() bool { x.store(true); return x.verify("acme").Matched >= 300 })
	x.eventually("recorded", func() bool { return x.anchors("outcome != 'ok' AND size >= 300")[seal.AnchorTSA].Outcome != "" })
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	o.tsa.Do(tsatest.None)
	x.start(o.with)
	x.eventually("sent later", func() bool { return x.anchors(ok + " AND size >= 300")[seal.AnchorTSA].Size >= 300 })
}

// Whatever a time stamping authority or a witness does, sealing goes on, the gap is on record, and it closes when they are well again.
func TestRemoteFaults(t *testing.T) {
	f := func(name string, fault func(o *outside), kind, want string, options ...tsatest.Option) {
		t.Run(name, func(t *testing.T) {
			x := newSite(t)
			o := newOutside(x, options...)
			fault(o)
			x.start(func(c *Config) {
				o.with(c)
				c.Anchors.TSA[0].Timeout, c.Anchors.Witnesses[0].Timeout = 300*time.Millisecond, 300*time.Millisecond
			})
			x.more("1", 1, 50)
			x.eventually("sealed", func() bool { r := x.verify("acme"); return r.OK && r.Matched >= 50 })
			x.eventually("on record", func() bool { return strings.Contains(x.anchors("outcome != 'ok'")[kind].Outcome, want) })
			x.more("2", 51, 50)
			x.eventually("sealed on", func() bool { x.store(true); r := x.verify("acme"); return r.OK && r.Matched >= 100 })
			x.eventually("the others go on", func() bool { return len(x.anchors("outcome = 'ok' AND size >= 100")) >= 2 })
			if len(options) > 0 {
				return
			}
			o.tsa.Do(tsatest.None)
			o.witness.Do(witnesstest.None)
			o.s3.do("")
			x.eventually("closed", func() bool { return x.anchors("outcome = 'ok' AND size >= 100")[kind].Size >= 100 })
		})
	}
	tsa := func(fault tsatest.Fault) func(*outside) { return func(o *outside) { o.tsa.Do(fault) } }
	witness := func(fault witnesstest.Fault) func(*outside) { return func(o *outside) { o.witness.Do(fault) } }
	f("tsa, wrong nonce", tsa(tsatest.WrongNonce), seal.AnchorTSA, "answers another request")
	f("tsa, wrong imprint", tsa(tsatest.WrongImprint), seal.AnchorTSA, "of other bytes")
	f("tsa, slow", tsa(tsatest.Slow), seal.AnchorTSA, "does not answer")
	f("tsa, down", tsa(tsatest.ServerError), seal.AnchorTSA, "HTTP status 503")
	f("tsa, expired", tsa(tsatest.None), seal.AnchorTSA, "not valid then", tsatest.Expired)
	f("witness, forged", witness(witnesstest.Forged), seal.AnchorWitness, "forged")
	f("witness, slow", witness(witnesstest.Slow), seal.AnchorWitness, "does not answer")
	f("bucket without lock", func(o *outside) { o.s3.do("down") }, seal.AnchorBucket, "503")
}

func TestAnchorConfig(t *testing.T) {
	key := witnesstest.New(t, "w").Key
	f := func(a AnchorConfig, want string) {
		t.Helper()
		c := defaultConfig()
		c.ClickHouse.Endpoint, c.Dir, c.KeyFile, c.Anchors = "a", "/d", "/k", a
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	tsa := func(c TSAConfig) AnchorConfig { return AnchorConfig{TSA: []TSAConfig{c}} }
	bucket := func(c BucketConfig) AnchorConfig { return AnchorConfig{Buckets: []BucketConfig{c}} }
	f(tsa(TSAConfig{URL: "https://tsa.example.com/tsr"}), "")
	f(tsa(TSAConfig{URL: "tsa.example.com"}), "anchors.tsa.url must be")
	f(tsa(TSAConfig{URL: "https://u:p@tsa.example.com"}), "no password")
	f(tsa(TSAConfig{URL: "https://a", Username: "x"}), "both of username")
	f(tsa(TSAConfig{URL: "https://a", RemoteConfig: RemoteConfig{Interval: -1}}), "must be positive")
	f(AnchorConfig{Witnesses: []WitnessConfig{{URL: "https://a", Key: key}}}, "")
	f(AnchorConfig{Witnesses: []WitnessConfig{{URL: "https://a", Key: "x+" + base64.StdEncoding.EncodeToString([]byte("x"))}}}, "anchors.witnesses.key")
	f(bucket(BucketConfig{Endpoint: "https://s3", Bucket: "worm", AccessKey: "a", SecretKeyFile: "b"}), "")
	f(bucket(BucketConfig{Endpoint: "https://s3", Bucket: "Worm/x", AccessKey: "a", SecretKeyFile: "b"}), "bucket's name")
	f(bucket(BucketConfig{Endpoint: "https://s3", Bucket: "worm"}), "secret_key_file")
	f(bucket(BucketConfig{Endpoint: "https://s3", Bucket: "worm", AccessKey: "a", SecretKeyFile: "b", Mode: "x"}), "COMPLIANCE or GOVERNANCE")
	f(bucket(BucketConfig{Endpoint: "https://s3", Bucket: "worm", AccessKey: "a", SecretKeyFile: "b", Prefix: "/x"}), "prefix")
}
