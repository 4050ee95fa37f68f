package scoring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Proves B02, B18.
// A file that is not made of certificates is refused when the client is made.
func TestCAFile(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile(caFile(t))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("garbage")}))
	const none = "the CA file holds no certificate"
	tests := map[string]struct{ text, want string }{
		"good":               {string(good), ""},
		"two, and a comment": {"# comment\n" + string(good) + "\n" + string(good), ""},
		"beside a key":       {key + string(good), ""},
		"empty":              {"", none},
		"text":               {"hello", none},
		"binary":             {"\x00\xFF\x30\x82", none},
		"a key":              {key, none},
		"cut":                {string(good[:len(good)/2]), none},
		"broken":             {block, none},
	}
	for name, test := range tests {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		client, err := NewClient("https://example.com/score", Options{CAFile: path})
		if test.want == "" && (err != nil || client == nil) || test.want != "" && (err != ArgumentError(test.want) || client != nil) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := NewClient("https://example.com/score", Options{CAFile: missing}); err != ArgumentError("the CA file cannot be read: open "+missing+": "+syscall.ENOENT.Error()) {
		t.Errorf("missing: %v", err)
	}
}

// Proves B02.
func TestProxyOption(t *testing.T) {
	t.Parallel()
	for proxy, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://proxy.example:3128": true, "http://[::1]:80": true,
		"proxy.example:3128": false, "https://proxy.example:3128": false, "socks5://proxy.example:1080": false, "http://proxy.example": false,
		"http://proxy.example:": false, "http://proxy.example:0": false, "http://proxy.example:65536": false, "http://:3128": false,
		"http://user:" + secret + "@proxy.example:3128": false, "http://proxy.example:3128/": false, "http://proxy.example:3128?a": false,
		"http://proxy.example:3128#a": false, " http://proxy.example:3128": false, "http://proxy.example:3128\n": false, "http://pro xy:1": false,
	} {
		_, err := NewClient("https://example.com/score", Options{Proxy: proxy})
		if good && err != nil || !good && err != ArgumentError("the proxy must be http://host:port") {
			t.Errorf("%q: got %v", proxy, err)
		}
	}
}

// Proves B02.
// A proxy gets what is not for loopback, and nothing else.
func TestProxy(t *testing.T) {
	t.Parallel()
	proxy := serve(t, reply(200, "[1.5, 2.5]"))
	options := Options{Proxy: strings.TrimSuffix(proxy.uri, "/score"), Key: NewKey(secret), AllowInsecureHTTP: true}
	scoreTwo(t, newClient(t, "http://model.example/score?a=b", options))
	if line := proxy.one(t).line; line != "POST http://model.example/score?a=b HTTP/1.1" {
		t.Errorf("request line %q", line)
	}
	direct := serve(t, twoPredictions)
	scoreTwo(t, newClient(t, direct.uri, options))
	scoreTwo(t, newClient(t, strings.Replace(direct.uri, "127.0.0.1", "localhost", 1), options))
	if len(direct.got()) != 2 || len(proxy.got()) != 1 {
		t.Errorf("%d requests came directly, %d through the proxy, want 2 and 1", len(direct.got()), len(proxy.got()))
	}
}

// Proves B21, B60.
// A proxy that refuses the tunnel does not see the key, and is not asked again.
func TestProxyRefusesTheTunnel(t *testing.T) {
	t.Parallel()
	proxy := serve(t, reply(407, "no"))
	options := Options{Proxy: strings.TrimSuffix(proxy.uri, "/score"), Key: NewKey(secret)}
	client := newClient(t, "https://model.example/score", options)
	err := scoreError[*TransportError](t, client)
	if want := "POST https://model.example/score: the proxy refused the tunnel: 407 (1 attempt)"; err.Error() != want || err.Timeout() {
		t.Errorf("got %q, want %q", err, want)
	}
	request := proxy.one(t)
	if request.line != "CONNECT model.example:443 HTTP/1.1" || request.header("Authorization") != nil {
		t.Errorf("the proxy got %v", request)
	}
}

// Proves B40.
// The network fails inside the handshake of TLS, again and again.
func TestClosedInTheHandshake(t *testing.T) {
	t.Parallel()
	for reason, end := range map[string]answer{"the connection was closed inside TLS": bytesOf("", false), "the connection was reset": reset("")} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 1<<12)) // the whole ClientHello
					end(conn, received{})
					conn.Close()
				}
			}()
			failed := scoreError[*TransportError](t, newClient(t, "https://"+listener.Addr().String()+"/score", Options{}))
			if failed.Reason != reason || failed.Attempts != 4 || failed.Timeout() {
				t.Errorf("got %v, want %q", failed, reason)
			}
		})
	}
}

// Proves B40.
// A name that is not found is looked up again.
func TestNameNotFound(t *testing.T) {
	t.Parallel()
	attempts := 0
	client := newClient(t, "http://name.invalid/score", Options{OnRetry: func(Retry) error { attempts++; return nil }})
	err := scoreError[*TransportError](t, client)
	if err.Reason != "the host name cannot be resolved" || err.Attempts != 4 || attempts != 3 || err.Timeout() {
		t.Errorf("got %v after %d retries", err, attempts)
	}
}

// Proves B02.
// What belongs to the HTTP client that was given has no effect beside it.
func TestOptionsBesideAnHTTPClient(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]Options{
		"ConnectTimeout": {ConnectTimeout: time.Second}, "CAFile": {CAFile: "a"}, "Proxy": {Proxy: "http://a:1"},
	} {
		options.HTTPClient = testHTTPClient
		if _, err := NewClient("https://example.com", options); err != ArgumentError(name+" has no effect with HTTPClient: set it there") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
