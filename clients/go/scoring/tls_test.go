package scoring

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trusting makes a client that trusts the certificate of net/http/httptest, which is for 127.0.0.1 and example.com.
func trusting(t *testing.T, uri string) *Client {
	t.Helper()
	return newClient(t, uri, Options{CAFile: caFile(t), MaxRetries: -1})
}

// caFile is a PEM file with the certificate of serverConfig.
func caFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: serverConfig(t).Certificates[0].Certificate[0]}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serverConfig is the TLS set-up of a server with httptest's certificate.
func serverConfig(t *testing.T) *tls.Config {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	defer server.Close()
	return &tls.Config{Certificates: server.TLS.Certificates}
}

// Proves B17, B18.
// TLS 1.2 and 1.3 work, and HTTP/1.1 is spoken even if the server prefers HTTP/2.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tls.Config){
		"default":      func(*tls.Config) {},
		"TLS 1.2 only": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"TLS 1.3 only": func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
		"HTTP/2 first": func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := serverConfig(t)
			change(config)
			service := serveTLS(t, config, twoPredictions)
			scoreTwo(t, trusting(t, service.uri))
			if line := service.one(t).line; line != "POST /score HTTP/1.1" {
				t.Errorf("request line %q", line)
			}
		})
	}
}

// Proves B18, B41.
// What cannot be trusted gets no request.
func TestTLSRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*tls.Config)
		client func(*testing.T, string) *Client
		text   string
	}{
		"unknown authority": {client: func(t *testing.T, uri string) *Client { return newClient(t, uri, Options{}) }, text: ": TLS failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		"wrong host name": {client: func(t *testing.T, uri string) *Client {
			return trusting(t, strings.Replace(uri, "127.0.0.1", "127.0.0.2", 1))
		}, text: "127.0.0.2"},
		"TLS 1.1":     {change: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, client: trusting, text: "protocol version"},
		"alert":       {change: func(c *tls.Config) { c.GetConfigForClient = refuseTLS }, client: trusting, text: ": TLS failed: remote error: tls: internal error"},
		"client auth": {change: func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, client: trusting, text: "remote error: tls:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := serverConfig(t)
			if test.change != nil {
				test.change(config)
			}
			service := serveTLS(t, config, twoPredictions)
			err := scoreError[*TransportError](t, test.client(t, service.uri))
			if !strings.Contains(err.Error(), test.text) || err.Attempts != 1 || err.Timeout() {
				t.Errorf("got %q, attempts %d, timeout %v, want it to contain %q", err, err.Attempts, err.Timeout(), test.text)
			}
			if got := service.got(); len(got) != 0 {
				t.Errorf("%d requests were sent", len(got))
			}
		})
	}
}

func refuseTLS(*tls.ClientHelloInfo) (*tls.Config, error) {
	return nil, errors.New("refused")
}

// Proves B41.
// No TLS on the other side.
func TestNoTLSThere(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
		_, _ = conn.Read(make([]byte, 1<<12))
	}()
	failed := scoreError[*TransportError](t, newClient(t, "https://"+listener.Addr().String()+"/score", Options{}))
	if !strings.Contains(failed.Error(), "TLS failed: tls: first record does not look like a TLS handshake") {
		t.Errorf("got %q", failed)
	}
}
