//go:build !linux

package chdb

import (
	"errors"
	"os"
)

func openTerminal() (master, slave *os.File, err error) {
	return nil, nil, errors.New("no pseudoterminals on this platform yet")
}

func becomeStdin(*os.File) error { return errors.ErrUnsupported }

func duplicate(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
