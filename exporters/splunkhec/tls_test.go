package splunkhec

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
)

func newTLSServer(t *testing.T, h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake that is to fail
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}
