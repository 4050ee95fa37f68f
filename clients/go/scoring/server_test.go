package scoring

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// received is one request as its bytes came.
type received struct {
	connection int // the number of the connection, from 1
	line       string
	headers    []string // "Name: value", in order
	body       string
}

// header returns the values of the lines with this name, in any case.
func (r received) header(name string) (values []string) {
	for _, line := range r.headers {
		if found, value, _ := strings.Cut(line, ": "); strings.EqualFold(found, name) {
			values = append(values, value)
		}
	}
	return values
}

// answer writes the reply to one request; the connection is closed afterwards when it returns false.
type answer func(conn net.Conn, request received) (keep bool)

// server is a raw HTTP server on loopback: it records what comes, and sends what the answers say, byte for byte.
type server struct {
	uri string // of a scoring path

	mu          sync.Mutex
	requests    []received
	connections int
	answers     []answer
	closed      chan struct{} // gets a value when the other side of a connection has closed it
}

// serve starts a server whose n-th request gets the n-th answer; the last one serves the rest.
func serve(t *testing.T, answers ...answer) *server {
	t.Helper()
	return serveTLS(t, nil, answers...)
}

// serveTLS is serve over https, unless config is nil.
func serveTLS(t *testing.T, config *tls.Config, answers ...answer) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{uri: "http://" + listener.Addr().String() + "/score", answers: answers, closed: make(chan struct{}, 100)}
	if config != nil {
		s.uri = "https://" + listener.Addr().String() + "/score"
		listener = tls.NewListener(listener, config)
	}
	var open sync.Map
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Store(conn, nil)
			s.mu.Lock()
			s.connections++
			number := s.connections
			s.mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				s.serveConnection(conn, number)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		open.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
		running.Wait()
	})
	return s
}

func (s *server) serveConnection(conn net.Conn, number int) {
	reader := bufio.NewReader(conn)
	for {
		request, err := readRequest(reader)
		if err != nil {
			s.closed <- struct{}{}
			return
		}
		request.connection = number
		s.mu.Lock()
		next := s.answers[min(len(s.requests), len(s.answers)-1)]
		s.requests = append(s.requests, request)
		s.mu.Unlock()
		if !next(conn, request) {
			return
		}
	}
}

func readRequest(reader *bufio.Reader) (request received, err error) {
	lines := textproto.NewReader(reader)
	if request.line, err = lines.ReadLine(); err != nil {
		return request, err
	}
	for {
		line, err := lines.ReadLine()
		if err != nil {
			return request, err
		}
		if line == "" {
			break
		}
		request.headers = append(request.headers, line)
	}
	length := 0
	for _, value := range request.header("Content-Length") {
		if length, err = strconv.Atoi(value); err != nil {
			return request, err
		}
	}
	body := make([]byte, length)
	_, err = io.ReadFull(reader, body)
	request.body = string(body)
	return request, err
}

// got returns the requests so far.
func (s *server) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.requests...)
}

// one returns the only request there was.
func (s *server) one(t *testing.T) received {
	t.Helper()
	requests := s.got()
	if len(requests) != 1 {
		t.Fatalf("%d requests, want 1", len(requests))
	}
	return requests[0]
}

// reply answers with a status, headers ("Name: value") and a body with its Content-Length, and keeps the connection.
func reply(status int, body string, headers ...string) answer {
	var head strings.Builder
	for _, header := range headers {
		head.WriteString(header + "\r\n")
	}
	return bytesOf(fmt.Sprintf("HTTP/1.1 %d Whatever\r\n%sContent-Length: %d\r\n\r\n%s", status, head.String(), len(body), body), true)
}

// bytesOf answers with these bytes, and keeps the connection or closes it.
func bytesOf(text string, keep bool) answer {
	return func(conn net.Conn, _ received) bool {
		_, err := io.WriteString(conn, text)
		return err == nil && keep
	}
}

// silence answers with some bytes and then nothing more, until the other side closes.
func silence(begin string) answer {
	return bytesOf(begin, true)
}

// reset answers with some bytes and a TCP reset.
func reset(begin string) answer {
	return func(conn net.Conn, _ received) bool {
		_, err := io.WriteString(conn, begin)
		return errors.Join(err, conn.(*net.TCPConn).SetLinger(0)) != nil
	}
}

// refusedURI is a scoring URI on a port where nobody listens.
func refusedURI(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String() + "/score"
}
