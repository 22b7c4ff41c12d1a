// Package keysource reads keys: from a file that holds the key, or from where such a file says - the environment, another file, or a program that asks a key management service or
// a hardware module. A program can also sign with a key that never leaves it.
//
// docs/keys.md has the protocol. The key is never on a command line, and no error holds anything that a program printed to its standard output.
package keysource

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode"
)

// Source says where a key is. Exactly one of Env, File and Command is set.
type Source struct {
	Env     string   `json:"env,omitempty"`     // variable that holds the key
	File    string   `json:"file,omitempty"`    // file that holds the key, mode 0600
	Command []string `json:"command,omitempty"` // program and its arguments; it prints the key
	Stdin   string   `json:"stdin,omitempty"`   // file that the program reads as its standard input, e.g. a wrapped key
	Timeout string   `json:"timeout,omitempty"` // of the program, e.g. 5s; 10s if empty
}

const (
	defaultTimeout = 10 * time.Second
	maxKey         = 64 << 10 // bytes that a program may print
)

// ErrPermissions means that others can read a file that holds a key or says where it is.
var ErrPermissions = errors.New("others can read or change it; `chmod 600` it, and replace the key if they may have read it")

// Validate checks what can be known without looking.
func (s Source) Validate() error {
	n := 0
	for _, set := range []bool{s.Env != "", s.File != "", len(s.Command) > 0} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("exactly one of env, file and command says where the key is")
	case len(s.Command) == 0 && (s.Stdin != "" || s.Timeout != ""):
		return errors.New("stdin and timeout are for a command")
	case len(s.Command) > 0 && !filepath.IsAbs(s.Command[0]):
		return errors.New("the command must begin with an absolute path: what a search path finds may be another program")
	case s.File != "" && !filepath.IsAbs(s.File), s.Stdin != "" && !filepath.IsAbs(s.Stdin):
		return errors.New("paths must be absolute")
	}
	_, err := s.timeout()
	return err
}

func (s Source) timeout() (time.Duration, error) {
	if s.Timeout == "" {
		return defaultTimeout, nil
	}
	d, err := time.ParseDuration(s.Timeout)
	if err != nil || d <= 0 || d > 5*time.Minute {
		return 0, errors.New("timeout is a duration such as 10s, at most 5m")
	}
	return d, nil
}

// Kind names the source for people.
func (s Source) Kind() string {
	switch {
	case s.Env != "":
		return "env " + s.Env
	case s.File != "":
		return "file " + s.File
	}
	return "command " + filepath.Base(s.Command[0])
}

// Parse says whether the content of a key file is a reference, and which. It is one where it is a JSON object.
func Parse(b []byte) (s Source, is bool, err error) {
	if t := bytes.TrimSpace(b); len(t) == 0 || t[0] != '{' {
		return s, false, nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if dec.Decode(&s) != nil {
		return s, true, errors.New(`it begins like a reference and is none: {"env": ...}, {"file": ...} or {"command": [...]}`)
	}
	return s, true, s.Validate()
}

// Read returns the key that a file holds or refers to, without line ends around it. name is for errors: what the key is for.
func Read(ctx context.Context, name, path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	s, is, err := Parse(b)
	if !is {
		return bytes.TrimSpace(b), nil // its reader decides about permissions, as it did before there were references
	}
	if err == nil {
		err = Private(path)
	}
	if err == nil {
		b, err = s.Get(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use %s, %s: %w", name, path, err)
	}
	return b, nil
}

// Private says whether only its owner can read and change a file.
func Private(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 { // there, modes say nothing
		return ErrPermissions
	}
	return nil
}

// Get fetches the key.
func (s Source) Get(ctx context.Context) ([]byte, error) {
	var b []byte
	switch {
	case s.Env != "":
		b = []byte(os.Getenv(s.Env))
		if len(b) == 0 {
			return nil, fmt.Errorf("the variable %s is not set", s.Env)
		}
	case s.File != "":
		if err := Private(s.File); err != nil {
			return nil, fmt.Errorf("%s: %w", s.File, err)
		}
		var err error
		if b, err = os.ReadFile(s.File); err != nil {
			return nil, err
		}
	default:
		var in *os.File
		if s.Stdin != "" {
			f, err := os.Open(s.Stdin)
			if err != nil {
				return nil, fmt.Errorf("cannot open what the command reads: %w", err)
			}
			defer f.Close()
			in = f
		}
		var err error
		if b, err = s.run(ctx, in); err != nil {
			return nil, err
		}
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, errors.New("what it refers to is empty")
	}
	return b, nil
}

// Sign lets the command sign: the message is its standard input, as a file, and it prints the signature, raw, in hex or in base64 (also as vault:v1:BASE64). size is how long a signature is.
func (s Source) Sign(ctx context.Context, message []byte, size int) ([]byte, error) {
	if len(s.Command) == 0 {
		return nil, errors.New("only a command can sign")
	}
	f, err := os.CreateTemp("", "mcpsiem-sign-*") // mode 0600; a file, since some programs want to know how long the message is
	if err != nil {
		return nil, fmt.Errorf("cannot hand over what is to be signed: %w", err)
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if _, err = f.Write(message); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot hand over what is to be signed: %w", err)
	}
	out, err := s.run(ctx, f)
	if err != nil {
		return nil, err
	}
	sig, ok := decode(out, size)
	if !ok {
		return nil, fmt.Errorf("the command %s printed %d bytes that are no signature of %d bytes, raw, in hex or in base64", filepath.Base(s.Command[0]), len(out), size)
	}
	return sig, nil
}

func decode(out []byte, size int) ([]byte, bool) {
	if len(out) == size {
		return out, true
	}
	t := strings.TrimSpace(string(out))
	if i := strings.LastIndexByte(t, ':'); i >= 0 && strings.HasPrefix(t, "vault:") {
		t = t[i+1:]
	}
	if b, err := hex.DecodeString(t); err == nil && len(b) == size {
		return b, true
	}
	b, err := base64.StdEncoding.DecodeString(t)
	return b, err == nil && len(b) == size
}

// run runs the command and returns what it prints.
func (s Source) run(ctx context.Context, stdin *os.File) ([]byte, error) {
	limit, err := s.timeout()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	name := filepath.Base(s.Command[0])
	c := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	if stdin != nil {
		c.Stdin = stdin
	}
	out := &capped{most: maxKey}
	complaint := &capped{most: 4 << 10}
	c.Stdout, c.Stderr = out, complaint
	endTogether(c)
	c.WaitDelay = time.Second
	err = c.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("the command %s took longer than %s", name, limit)
	case err != nil:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("the command %s ended with %s%s", name, exit.ProcessState, said(complaint.b))
		}
		return nil, fmt.Errorf("cannot run the command %s: %w", name, err)
	case out.over:
		return nil, fmt.Errorf("the command %s printed more than %d bytes", name, maxKey)
	}
	return out.b, nil
}

// said is the first line of what a program complained about.
func said(b []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	if len(line) == 0 {
		return ""
	}
	t := strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, string(line[:min(len(line), 200)]))
	return ": " + t
}

// capped keeps the first bytes.
type capped struct {
	b    []byte
	most int
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.most-len(c.b))
	c.b = append(c.b, p[:n]...)
	c.over = c.over || n < len(p)
	return len(p), nil
}

// Shred overwrites and removes a file with a key, or the note of where one is.
func Shred(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, st.Size()), 0)
	}
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path))
}
