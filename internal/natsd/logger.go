// The server's log as zap entries.

package natsd

import (
	"fmt"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"
)

// logger is a server.Logger. The server calls Fatalf when it cannot start; the first such message goes to fatal. That a disk is
// full it says nowhere else than in its log.
type logger struct {
	z     *zap.SugaredLogger
	fatal chan string
	full  atomic.Bool // a write failed for want of space
}

func newLogger(z *zap.Logger) *logger {
	return &logger{z: z.Sugar(), fatal: make(chan string, 1)}
}

func (l *logger) Noticef(format string, v ...any) { l.z.Debugf(format, v...) }
func (l *logger) Warnf(format string, v ...any)   { l.z.Warnf(format, v...) }

func (l *logger) Errorf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	if strings.Contains(msg, "no space left on device") || strings.Contains(msg, "disk quota exceeded") {
		l.full.Store(true)
	}
	l.z.Error(msg)
}

func (l *logger) Debugf(string, ...any) {}
func (l *logger) Tracef(string, ...any) {} // would hold payloads

func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
