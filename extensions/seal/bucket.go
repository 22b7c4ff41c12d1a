// Buckets: checkpoints as locked objects of S3 or what speaks like it. PutObject with object lock, signed with Signature Version 4.

package seal

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

type bucket struct {
	BucketConfig
	client *http.Client
	secret string
}

// put writes a checkpoint as an object of its own and has it locked. One that is there already is left as it is: with If-None-Match nothing is
// ever written over, not even in a bucket that would make a version of it.
func (b *bucket) put(ctx context.Context, c seal.SignedCheckpoint) ([]byte, error) {
	name := fmt.Sprintf("%s%s/%020d.checkpoint", b.Prefix, seal.FolderOf(c.Tenant), c.Checkpoint.Size)
	until := time.Now().UTC().Add(b.Retention).Truncate(time.Second)
	resp, err := b.do(ctx, http.MethodPut, name, "", c.Note, map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "If-None-Match": "*",
		"X-Amz-Object-Lock-Mode": b.Mode, "X-Amz-Object-Lock-Retain-Until-Date": until.Format(time.RFC3339),
	})
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent:
	case http.StatusPreconditionFailed: // from an attempt whose answer was lost
	default:
		return nil, fmt.Errorf("cannot write to the bucket: HTTP status %d", resp.StatusCode)
	}
	// A bucket without object lock can take the object and let the lock fall: look.
	if resp, err = b.do(ctx, http.MethodHead, name, "", nil, nil); err != nil {
		return nil, err
	}
	resp.Body.Close()
	mode, date := resp.Header.Get("X-Amz-Object-Lock-Mode"), resp.Header.Get("X-Amz-Object-Lock-Retain-Until-Date")
	t, err := time.Parse(time.RFC3339, date)
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("cannot see the object in the bucket: HTTP status %d", resp.StatusCode)
	case err != nil || mode != b.Mode || t.Before(time.Now()):
		return nil, errors.New("cannot rely on the bucket: the object is there and not locked (is object lock on, may this account see it?)")
	case resp.ContentLength != int64(len(c.Note)):
		return nil, errors.New("cannot rely on the bucket: the object has another content")
	}
	return fmt.Appendf(nil, "%s\nlocked until %s (%s)\n", name, t.UTC().Format(time.RFC3339), mode), nil
}

func (b *bucket) do(ctx context.Context, method, name, query string, body []byte, headers map[string]string) (*http.Response, error) {
	u, err := url.Parse(strings.TrimRight(b.Endpoint, "/"))
	if err != nil {
		return nil, errors.New("cannot use the bucket: the endpoint is no URL")
	}
	// FolderOf's names have % in them, which has to be escaped once more.
	path := "/" + b.Bucket + "/" + name
	u.Path, u.RawPath, u.RawQuery = u.Path+path, u.EscapedPath()+escapePath(path), query
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("cannot use the bucket: the endpoint is no URL")
	}
	sum := sha256.Sum256(body)
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	if body != nil { // object lock demands it
		m := md5.Sum(body)
		req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(m[:]))
	}
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	if err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(ctx, aws.Credentials{AccessKeyID: b.AccessKey, SecretAccessKey: b.secret}, req, hash, "s3", b.Region, time.Now()); err != nil {
		return nil, errors.New("cannot sign a request to the bucket")
	}
	resp, err := b.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("cannot reach the bucket: %w", err)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, 64<<10), resp.Body}
	return resp, nil
}

// escapePath is S3's way: everything but letters, digits, - . _ ~ and /.
func escapePath(p string) string {
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
