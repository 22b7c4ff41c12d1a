// Credentials come from files and the environment, never from the configuration itself.

package sink

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Secret says where a credential is.
type Secret struct {
	File string `mapstructure:"file"` // a file that holds it and nothing else
	Env  string `mapstructure:"env"`  // the name of an environment variable
}

// IsZero reports whether no place is given.
func (s Secret) IsZero() bool { return s == Secret{} }

// Validate checks that no more than one place is given. The Collector calls it for every secret of a configuration, so one that is not given is none to
// complain of; who needs it asks Required.
func (s Secret) Validate() error {
	if s.IsZero() {
		return nil
	}
	return s.Required()
}

// Required checks that exactly one place is given.
func (s Secret) Required() error {
	if (s.File == "") == (s.Env == "") {
		return errors.New("say where the secret is: file (a path) or env (the name of an environment variable)")
	}
	return nil
}

// maxSecret bounds what is read, bytes.
const maxSecret = 64 << 10

// Read returns the secret, without white space around it. It is read anew each time, so that a changed file counts.
func (s Secret) Read() (string, error) {
	var v string
	if s.File != "" {
		st, err := os.Stat(s.File)
		if err != nil {
			return "", fmt.Errorf("cannot read a secret: %w", err)
		}
		if st.Size() > maxSecret {
			return "", fmt.Errorf("cannot read a secret: file %s is larger than 64 KiB", s.File)
		}
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("cannot read a secret: %w", err)
		}
		v = strings.TrimSpace(string(b))
		if v == "" {
			return "", fmt.Errorf("cannot read a secret: file %s is empty", s.File)
		}
	} else {
		if v = strings.TrimSpace(os.Getenv(s.Env)); v == "" {
			return "", fmt.Errorf("cannot read a secret: environment variable %s is not set", s.Env)
		}
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.New("cannot read a secret: it has control characters or more than one line")
	}
	return v, nil
}
