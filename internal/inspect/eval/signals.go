package eval

import "github.com/mcpsiem/mcpsiem/internal/inspect"

func signals(r *Report, dir string, s *inspect.Session) error { return nil }
