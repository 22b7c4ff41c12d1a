// The server's log as zap entries.

package natsd

import (
	"fmt"

	"go.uber.org/zap"
)

// logger is a server.Logger. The server calls Fatalf when it cannot start; the first such message goes to fatal.
type logger struct {
	z     *zap.SugaredLogger
	fatal chan string
}

func newLogger(z *zap.Logger) *logger {
	return &logger{z: z.Sugar(), fatal: make(chan string, 1)}
}

func (l *logger) Noticef(format string, v ...any) { l.z.Debugf(format, v...) }
func (l *logger) Warnf(format string, v ...any)   { l.z.Warnf(format, v...) }
func (l *logger) Errorf(format string, v ...any)  { l.z.Errorf(format, v...) }
func (l *logger) Debugf(string, ...any)           {}
func (l *logger) Tracef(string, ...any)           {} // would hold payloads

func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
