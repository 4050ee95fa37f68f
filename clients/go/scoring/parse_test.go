package scoring

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

// Proves B01, B02, B20, B23.
func TestArguments(t *testing.T) {
	t.Parallel()
	key := NewKey(secret)
	const (
		absolute = "the scoring URI must be an absolute http or https URI"
		userInfo = "the scoring URI must not contain user info"
		fragment = "the scoring URI must not contain a fragment"
		dots     = "the scoring URI must not contain dot segments"
		plain    = "a key over plain http to a host that is not loopback: use https, or AllowInsecureHTTP if the network is trusted"
		negative = " must not be negative"
	)
	tests := []struct {
		uri     string
		options Options
		text    string // empty: accepted
	}{
		{"http://example.com/score", Options{}, ""},
		{"HTTPS://EXAMPLE.com:8443/Score?a=b", Options{Key: key}, ""},
		{"https://example.com", Options{}, ""},
		{"https://[2001:db8::1]:443/score", Options{Key: key}, ""},
		{"https://example.com/a%20b%2Fc%C3%A9?d=%2F..%25", Options{}, ""},
		{"https://example.com/.../..a/a..?../.", Options{}, ""},

		{"", Options{}, absolute},
		{"/score", Options{}, absolute},
		{"example.com/score", Options{}, absolute},
		{"//example.com/score", Options{}, absolute},
		{"ftp://example.com/score", Options{}, absolute},
		{"file:///score", Options{}, absolute},
		{"https:example.com/score", Options{}, absolute},
		{"https:///score", Options{}, absolute},
		{"https://:443/score", Options{}, absolute},
		{"https://example.com:0/score", Options{}, absolute},
		{"https://example.com:65536/score", Options{}, absolute},
		{"https://example.com:https/score", Options{}, absolute},
		{"https://[::1/score", Options{}, absolute},
		{"https://example.com/100%", Options{}, absolute},
		{"https://example.com/score?100%zz", Options{}, absolute},
		{"https://example.com/score\n", Options{}, "the scoring URI has a character that no URI can have at position 25 (a trailing newline?)"},
		{" https://example.com/score", Options{}, "the scoring URI has a character that no URI can have at position 0 (a trailing newline?)"},
		{"https://example.com/scoré", Options{}, "the scoring URI has a character that no URI can have at position 24 (a trailing newline?)"},
		{"https://example.com/{name}", Options{}, "the scoring URI has a character that no URI can have at position 20 (a trailing newline?)"},
		{"https://user:word@example.com/score", Options{}, userInfo},
		{"https://@example.com/score", Options{}, userInfo},
		{"https://example.com/score#", Options{}, fragment},
		{"https://example.com/score?a#b", Options{}, fragment},
		{"https://example.com/./score", Options{}, dots},
		{"https://example.com/a/../score", Options{}, dots},
		{"https://example.com/score/..", Options{}, dots},
		{"https://example.com/%41", Options{}, "the scoring URI must not contain needless percent escapes (%41)"},
		{"https://example.com/%2e%2e/score", Options{}, "the scoring URI must not contain needless percent escapes (%2e)"},
		{"https://example.com/%20/score?%7E", Options{}, "the scoring URI must not contain needless percent escapes (%7E)"},

		{"https://example.com/score", Options{Key: NewKey("")}, "the key is empty"},
		{"https://example.com/score", Options{Key: NewKey("abcdefghijkl\n")}, "the key has a character that cannot be sent in a header at position 12 (a trailing newline?)"},
		{"https://example.com/score", Options{Key: NewKey(" abc")}, "the key has a character that cannot be sent in a header at position 0 (a trailing newline?)"},
		{"https://example.com/score", Options{Key: NewKey("abc\x7F")}, "the key has a character that cannot be sent in a header at position 3 (a trailing newline?)"},
		{"https://example.com/score", Options{Key: NewKey("a\u20ACb")}, "the key has a character that cannot be sent in a header at position 1 (a trailing newline?)"},
		{"https://example.com/score", Options{Key: NewKey("ab\xFF")}, "the key has a character that cannot be sent in a header at position 2 (a trailing newline?)"},
		{"https://example.com/score", Options{Key: NewKey("!~")}, ""},

		{"http://example.com/score", Options{Key: key}, plain},
		{"http://example.com/score", Options{Key: key, AllowInsecureHTTP: true}, ""},
		{"http://localhost/score", Options{Key: key}, ""},
		{"http://LOCALHOST:8080/score", Options{Key: key}, ""},
		{"http://127.0.0.1/score", Options{Key: key}, ""},
		{"http://127.255.0.9:80/score", Options{Key: key}, ""},
		{"http://[::1]:8080/score", Options{Key: key}, ""},
		{"http://[::2]/score", Options{Key: key}, plain},
		{"http://128.0.0.1/score", Options{Key: key}, plain},
		{"http://127.0.0.1.example.com/score", Options{Key: key}, plain},
		{"http://localhost.example.com/score", Options{Key: key}, plain},

		{"https://example.com/score", Options{Timeout: -1}, "Timeout" + negative},
		{"https://example.com/score", Options{ConnectTimeout: -1}, "ConnectTimeout" + negative},
		{"https://example.com/score", Options{MaxReplyBytes: -1}, "MaxReplyBytes" + negative},
		{"https://example.com/score", Options{AttemptTimeout: -1}, "AttemptTimeout" + negative},
		{"https://example.com/score", Options{BaseDelay: -1}, "BaseDelay" + negative},
		{"https://example.com/score", Options{MaxDelay: -1}, "MaxDelay" + negative},
		{"https://example.com/score", Options{RetryStatuses: []int{503, 200}}, "RetryStatuses: 200 is not between 400 and 599"},
		{"https://example.com/score", Options{RetryStatuses: []int{600}}, "RetryStatuses: 600 is not between 400 and 599"},
		{"https://example.com/score", Options{RetryStatuses: []int{400, 599}, MaxRetries: -5}, ""},
		{"https://example.com/score", Options{Deployment: "blu\u00E9"}, "the deployment has a character that cannot be sent in a header at position 3"},
		{"https://example.com/score", Options{Deployment: "blue\r\nX: y"}, "the deployment has a character that cannot be sent in a header at position 4"},
		{"https://example.com/score", Options{Deployment: "blue green"}, "the deployment has a character that cannot be sent in a header at position 4"},
		{"https://example.com/score", Options{HTTPClient: testHTTPClient, ConnectTimeout: time.Second}, "ConnectTimeout has no effect with HTTPClient: set it there"},
	}
	for _, test := range tests {
		client, err := NewClient(test.uri, test.options)
		switch {
		case test.text == "" && (err != nil || client == nil):
			t.Errorf("%q: got %v, %v, want a client", test.uri, client, err)
		case test.text != "" && (err != ArgumentError(test.text) || client != nil):
			t.Errorf("%q: got %v, %v, want %q", test.uri, client, err, test.text)
		}
	}
}

var notFiniteRows = []struct {
	rows [][]float64
	text string
}{
	{[][]float64{{math.NaN()}}, "row 0, column 0 is NaN: JSON has no such number"},
	{[][]float64{{1}, {}, {1, 2, 3, math.Inf(1)}}, "row 2, column 3 is Infinity: JSON has no such number"},
	{[][]float64{{1, math.Inf(-1)}}, "row 0, column 1 is Infinity: JSON has no such number"},
}

// Proves B10.
// Every double keeps its bits, and is not taken for an integer.
func TestDoublesKeepTheirBits(t *testing.T) {
	t.Parallel()
	check := func(cell float64) bool {
		body, err := encodeRows([][]float64{{cell}})
		if math.IsNaN(cell) || math.IsInf(cell, 0) {
			return err != nil && body == nil
		}
		var sent struct{ Data [][]json.Number }
		if err != nil || json.Unmarshal(body, &sent) != nil {
			return false
		}
		back, err := sent.Data[0][0].Float64()
		return err == nil && math.Float64bits(back) == math.Float64bits(cell) && strings.ContainsAny(sent.Data[0][0].String(), ".e")
	}
	for _, cell := range []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 1e21, 1e22, 1e-7, 123456789, 9007199254740993, 5e-324, -5e-324, 2.2250738585072014e-308,
		2.2250738585072011e-308, math.MaxFloat64, -math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1),
	} {
		if !check(cell) {
			t.Errorf("%v does not survive", cell)
		}
	}
	if err := quick.Check(func(bits uint64) bool { return check(math.Float64frombits(bits)) }, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}

// Proves B51, B52.
func TestReadPredictions(t *testing.T) {
	t.Parallel()
	const (
		notJSON    = "the reply is not JSON"
		notNumbers = "the reply contains NaN or Infinity, which is not JSON"
	)
	tests := []struct {
		body   string
		rows   int
		reason string
	}{
		{"[]", 0, ""},
		{"[1, -0, 0.5e-3]", 3, ""},
		{"\uFEFF\n[1]\t", 1, ""},
		{"", 1, "the reply is empty"},
		{" \r\n\t", 1, "the reply is empty"},
		{"\uFEFF", 1, "the reply is empty"},
		{"\u00A0", 1, notJSON},
		{"<html>Infinity</html>", 1, notJSON},
		{"[1", 1, notJSON},
		{"[1,]", 1, notJSON},
		{"[1] ok", 1, notJSON},
		{"[1][1]", 1, notJSON},
		{"\uFEFF\uFEFF[1]", 1, notJSON},
		{"[01]", 1, notJSON},
		{"[0x1]", 1, notJSON},
		{"[+1]", 1, notJSON},
		{"[.5]", 1, notJSON},
		{"['1']", 1, notJSON},
		{"[\u00A01]", 1, notJSON},
		{"\u00A0[1]", 1, notJSON},
		{"[1]\v", 1, notJSON},
		{strings.Repeat("[", 100_000), 1, notJSON},
		{"[NaN]", 1, notNumbers},
		{"NaN", 1, notNumbers},
		{"[1, -Infinity]", 2, notNumbers},
		{`{"a": ["]\"", Infinity]}`, 1, notNumbers},
		{`["NaN", nan]`, 2, notJSON},
		{`["NaN"]`, 1, "element 0 of the reply is a JSON string, not a number"},
		{`{}`, 1, "the reply is a JSON object, not an array"},
		{`{"error": null}`, 1, "the reply is a JSON object, not an array"},
		{`{"Error": "x"}`, 1, "the reply is a JSON object, not an array"},
		{`{"error": "no model"}`, 1, "the reply is a JSON object, not an array: no model"},
		{`{"error": {"code": 1, "message": "no model"}}`, 1, "the reply is a JSON object, not an array: no model"},
		{`"[1.5]"`, 1, "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself"},
		{"1.5", 1, "the reply is a JSON number, not an array"},
		{"-1", 1, "the reply is a JSON number, not an array"},
		{"true", 1, "the reply is a JSON boolean, not an array"},
		{"false", 1, "the reply is a JSON boolean, not an array"},
		{"null", 0, "the reply is a JSON null, not an array"},
		{`[1, 2, 3, "4"]`, 4, "element 3 of the reply is a JSON string, not a number"},
		{"[true]", 1, "element 0 of the reply is a JSON boolean, not a number"},
		{"[1, null]", 2, "element 1 of the reply is a JSON null, not a number"},
		{"[{}]", 1, "element 0 of the reply is a JSON object, not a number"},
		{"[1, [2]]", 2, "element 1 of the reply is a JSON array, not a number"},
		{strings.Repeat("[", 64) + strings.Repeat("]", 64), 1, "element 0 of the reply is a JSON array, not a number"},
		{"[1, 2, 3, 1e400]", 4, "element 3 of the reply is not a finite number"},
		{"[-1e400]", 1, "element 0 of the reply is not a finite number"},
		{"[1]", 2, "the reply has 1 predictions for 2 rows"},
		{"[1, 2, 3]", 2, "the reply has 3 predictions for 2 rows"},
		{"[]", 1, "the reply has 0 predictions for 1 rows"},
		{"[1] \xFF", 1, "the reply is not valid UTF-8"},
		{"[\"\xC3\x28\"]", 1, "the reply is not valid UTF-8"},
	}
	for _, test := range tests {
		predictions, err := readPredictions([]byte(test.body), test.rows)
		reason := ""
		if err != nil {
			reason = err.Error()
		}
		if reason != test.reason {
			t.Errorf("%.50q for %d rows: %q, want %q", test.body, test.rows, reason, test.reason)
		}
		if reason == "" && len(predictions) != test.rows || reason != "" && predictions != nil {
			t.Errorf("%.50q for %d rows: predictions %v, reason %q", test.body, test.rows, predictions, reason)
		}
	}
}

// Proves B51.
// What is read has the bits that were sent.
func TestPredictionsKeepTheirBits(t *testing.T) {
	t.Parallel()
	check := func(bits uint64) bool {
		want := math.Float64frombits(bits)
		body, err := json.Marshal([]float64{want})
		if err != nil {
			return math.IsNaN(want) || math.IsInf(want, 0)
		}
		got, err := readPredictions(body, 1)
		return err == nil && math.Float64bits(got[0]) == bits
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}

// Proves B62.
// What the shared vectors leave to each language.
func TestServiceMessage(t *testing.T) {
	t.Parallel()
	tests := []struct{ body, message string }{
		{`{"message": "m", "error": "e", "detail": "d"}`, "m"},
		{`{"message": {"a": [1]}, "error": {"message": 5}, "detail": "d"}`, "d"},
		{`{"Message": "m"}`, ""},
		{`{"message": null}`, ""},
		{`{"a": 1e400, "error": {"b": 1e400, "message": "m"}}`, "m"},
		{"h\xE9las", "h\uFFFDlas"},
		{"<html>\n<head><TITLE class=x>\n 502 Bad\nGateway &amp; so </TITLE></head>", "502 Bad Gateway & so"},
		{"<Error>no page</Error>", "<Error>no page</Error>"},
		{"<headline>no page</headline>", "<headline>no page</headline>"},
		{"not a page: <title>&amp;</title>", "not a page: <title>&amp;</title>"},
		{"\x00", "\x00"},
	}
	for _, test := range tests {
		if got := serviceMessage([]byte(test.body)); got != test.message {
			t.Errorf("%q: %q, want %q", test.body, got, test.message)
		}
	}
	for _, deep := range []string{strings.Repeat("[", 60_000), strings.Repeat(`{"error":`, 7_000)} {
		if got := serviceMessage([]byte(deep)); got != deep {
			t.Errorf("%.20s...: %.20q..., want the text", deep, got)
		}
	}
}

// Proves B63.
func TestPrintable(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, want string }{
		{"plain, é, 日本, 👩‍🔬", "plain, é, 日本, 👩‍🔬"},
		{"a\r\nb\tc\x00d\x1B[31me\x7Ff\u0085g\u2028h\u2029i\u202Ej\u2067k", "a  b c d [31me f g h i j k"},
		{"\n a \n", "a"},
		{"a\xFFb", "a\uFFFDb"},
		{strings.Repeat("é", 300), strings.Repeat("é", 300)},
		{strings.Repeat("é", 301), strings.Repeat("é", 299) + "…"},
	}
	for _, test := range tests {
		if got := printable(test.text); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

// Proves B63.
// More than one attempt.
func TestDescribe(t *testing.T) {
	t.Parallel()
	call := Call{Method: "POST", URL: "https://host/path", Attempts: 4}
	if got, want := call.describe("503: busy", "abc"), "POST https://host/path: 503: busy (4 attempts, request id abc)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
