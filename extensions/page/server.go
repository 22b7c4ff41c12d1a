// The server: who may ask, and what comes back beside the data.

package page

import (
	"context"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

//go:embed assets
var embedded embed.FS

const (
	minToken = 32 // characters
	queries  = 8  // at a time
)

type page struct {
	cfg   *Config
	set   extension.Settings
	token string
	slots chan struct{}

	server *http.Server
	addr   string
	done   sync.WaitGroup

	mu   sync.Mutex
	conn *store.Conn // nil until the store has answered once, and after it has failed
}

func newPage(set extension.Settings, cfg *Config) *page {
	return &page{cfg: cfg, set: set, slots: make(chan struct{}, queries)}
}

func (p *page) Start(_ context.Context, host component.Host) error {
	b, err := os.ReadFile(p.cfg.TokenFile)
	if err != nil {
		return fmt.Errorf("cannot read token_file: %w", err)
	}
	if p.token = strings.TrimSpace(string(b)); len(p.token) < minToken {
		return fmt.Errorf("the token in token_file has fewer than %d characters", minToken)
	}
	l, err := net.Listen("tcp", p.cfg.Endpoint)
	if err != nil {
		return fmt.Errorf("cannot serve the page: %w", err)
	}
	p.addr = l.Addr().String()
	p.server = &http.Server{Handler: p.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(p.set.Logger)}
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	}()
	return nil
}

func (p *page) Shutdown(ctx context.Context) error {
	if p.server == nil { // never started
		return nil
	}
	err := p.server.Shutdown(ctx)
	if err != nil {
		err = p.server.Close()
	}
	p.done.Wait()
	p.drop(nil)
	return err
}

// handler serves assets and data to who has the token.
func (p *page) handler() http.Handler {
	files, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic("BUG: no embedded assets: " + err.Error())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	for path, q := range endpoints {
		mux.HandleFunc("GET /api/"+path, func(w http.ResponseWriter, r *http.Request) { p.answer(w, r, q) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !p.ours(r.Host) || r.Header.Get("Origin") != "" && !p.ours(strings.TrimPrefix(r.Header.Get("Origin"), "http://")) {
			http.Error(w, "this page answers on its own address only", http.StatusForbidden)
			return
		}
		if given := r.URL.Query().Get("token"); given != "" && r.URL.Path == "/" {
			if !p.known(given) {
				refuse(w)
				return
			}
			http.SetCookie(w, &http.Cookie{Name: p.cookie(), Value: given, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			// Not a redirect: a browser would not send a strict cookie after one that another program's link began.
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Refresh", "0; url=/")
			fmt.Fprint(w, "<!doctype html><title>mcpsiem</title><a href=\"/\">Go on</a>")
			return
		}
		c, err := r.Cookie(p.cookie())
		if err != nil || !p.known(c.Value) {
			refuse(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// cookie is the cookie's name. Browsers keep one for all ports of a host: pages of two installations must not take each other's place.
func (p *page) cookie() string {
	_, port, _ := net.SplitHostPort(p.addr)
	return "mcpsiem_page_" + port
}

func (p *page) known(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(p.token)) == 1
}

// ours says whether a host:port is this server's, by a name that cannot be made to point elsewhere.
func (p *page) ours(hostport string) bool {
	u, err := url.Parse("http://" + hostport)
	if err != nil {
		return false
	}
	_, port, _ := net.SplitHostPort(p.addr)
	ip := net.ParseIP(u.Hostname())
	return (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) && (u.Port() == port || u.Port() == "" && port == "80")
}

func refuse(w http.ResponseWriter) {
	http.Error(w, "The link that `mcpsiem up` printed opens this page; its token is in secrets/page.token of the state folder.", http.StatusUnauthorized)
}
