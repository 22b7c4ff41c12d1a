package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/identity"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// maxCredential is the longest credential that is read, bytes; the identity processor reads headers of that size.
const maxCredential = 64 << 10

func newIdentity() *cobra.Command {
	c := &cobra.Command{
		Use:     "identity",
		GroupID: "mend",
		Short:   "Work with the directory of people, services and their credentials",
		Args:    cobra.NoArgs,
	}
	c.AddCommand(newFingerprint())
	return c
}

func newFingerprint() *cobra.Command {
	var stateDir, keyFile, file string
	c := &cobra.Command{
		Use:   "fingerprint",
		Short: "Print the keyed fingerprint of a credential, for a directory entry",
		Long: `Read a token or API key from standard input, or from --file, and print the fingerprint under which events show it: what belongs
into "tokens" of its owner's directory entry. The credential is never taken from the command line, where other users could see it,
and is printed nowhere. One line end after it does not count, and neither does the word Bearer before it.

The key is that of the identity processor: the state folder's, or --key-file. Another key gives other fingerprints.`,
		Example: "  mcpsiem identity fingerprint < api-key.txt\n  pass show ci/mcp-token | mcpsiem identity fingerprint --key-file /etc/mcpsiem/identity.key",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 { // not named, since it may be the credential
				return errors.New("a credential is not taken from the command line, where others can see it: write it to standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if keyFile == "" {
				keyFile = state.Dir(stateDir).Secret(state.SecretIdentityKey)
			}
			key, err := identity.LoadKey(keyFile)
			if err != nil {
				return fmt.Errorf("%w (name the identity processor's key with --key-file, or its state folder with --state)", err)
			}
			credential, err := readCredential(c.InOrStdin(), file)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), key.Fingerprint(string(credential)))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&stateDir, "state", state.Default(), "state folder of the installation `DIR` (env MCPSIEM_STATE)")
	f.StringVar(&keyFile, "key-file", "", "key of the identity processor `FILE`")
	f.StringVar(&file, "file", "", "read the credential from `FILE`")
	return c
}

// readCredential reads one; from a terminal without echo.
func readCredential(in io.Reader, file string) ([]byte, error) {
	var b []byte
	var err error
	if f, ok := in.(*os.File); ok && file == "" && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(os.Stderr, "credential (not shown): ")
		b, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(os.Stderr)
	} else {
		if file != "" {
			f, err := os.Open(file)
			if err != nil {
				return nil, fmt.Errorf("cannot read the credential: %w", err)
			}
			defer f.Close()
			in = f
		}
		b, err = io.ReadAll(io.LimitReader(in, maxCredential+1))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the credential: %w", err)
	}
	if len(b) > maxCredential {
		return nil, fmt.Errorf("cannot read the credential: it is longer than %d bytes", maxCredential)
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) > 7 && bytes.EqualFold(b[:7], []byte("Bearer ")) {
		b = bytes.TrimLeft(b[7:], " ")
	}
	switch {
	case len(b) == 0:
		return nil, errors.New("cannot read the credential: the input is empty")
	case bytes.ContainsAny(b, "\r\n"):
		return nil, errors.New("cannot read the credential: the input has more than one line")
	case len(bytes.TrimSpace(b)) != len(b):
		return nil, errors.New("cannot read the credential: there are blanks before or after it, which a header would not carry")
	}
	return b, nil
}
