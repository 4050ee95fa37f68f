package scoring

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// forms are the ways in which a program may print a value.
func forms(value any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "value", value)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "value", value)
	return out.String()
}

func checkHidden(t *testing.T, what string, value any) {
	t.Helper()
	text := forms(value)
	for _, hidden := range []string{secret, fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]")} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s shows the key:\n%s", what, text)
		}
	}
}

// The check above can fail.
func TestFormsShowWhatIsNotHidden(t *testing.T) {
	t.Parallel()
	if text := forms(struct{ key string }{secret}); !strings.Contains(text, secret) {
		t.Errorf("not found in\n%s", text)
	}
}

// Proves B21.
// What holds the key does not print it.
func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	options := Options{Key: NewKey(secret)}
	client := newClient(t, "https://example.com/score?code=hidden", options)
	checkHidden(t, "Key", options.Key)
	checkHidden(t, "Options", options)
	checkHidden(t, "&Options", &options)
	checkHidden(t, "Client", client)
	checkHidden(t, "*Client", *client)
	if got, want := fmt.Sprint(client), "scoring.Client(https://example.com/score)"; got != want {
		t.Errorf("the client prints as %q, want %q", got, want)
	}
	for _, key := range []string{secret + "\n", secret + " " + secret, "\u20AC" + secret} {
		_, err := NewClient("https://example.com/score", Options{Key: NewKey(key)})
		checkHidden(t, "ArgumentError", err)
	}
	_, err := NewClient("http://example.com/score", options)
	checkHidden(t, "ArgumentError", err)
}

// Proves B21.
// Errors do not print a key that the service echoes, wherever it does.
func TestEchoedKeyIsHidden(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer answer
		text   string // what the text contains in its place
	}{
		"message":      {reply(403, `{"message": "no such key: `+secret+`, `+secret+`"}`), "403: no such key: ***, *** ("},
		"text":         {reply(403, "Authorization: Bearer "+secret+" was refused"), "Bearer *** was refused"},
		"title":        {reply(403, "<html><title>"+secret+"</title>"), "403: *** ("},
		"request id":   {reply(403, "", "x-request-id: "+secret), "request id ***)"},
		"model reason": {reply(424, "", "ms-azureml-model-error-reason: "+secret), "424 ("},
		"excerpt":      {reply(200, `{"got": "`+secret+`"}`), `{"got": "***"}`},
		"escaped":      {reply(200, `{"got": "`+strings.Replace(secret, "/", `\/`, 1)+`"}`), `{"got": "***"}`},
		"coded":        {reply(200, fmt.Sprintf(`{"got": "\u%04X%s"}`, secret[0], secret[1:])), `{"got": "***"}`},
		"object error": {reply(200, `{"error": "`+secret+`"}`), "not an array: ***: "},
		"encoding":     {reply(200, "", "Content-Encoding: "+secret), "Content-Encoding: ***,"},
		"status line":  {bytesOf("Bearer "+secret+"\r\n\r\n", false), "the reply is not valid HTTP"},
		"header line":  {bytesOf("HTTP/1.1 200 OK\r\nBearer "+secret+"\r\n\r\n", false), "the reply is not valid HTTP"},
		"cut by a gap": {bytesOf("HTTP/1.1 403 No\r\nContent-Length: 1000\r\n\r\nBearer "+secret[:9], false), "403: Bearer *** ("},
		"cut excerpt":  {reply(200, strings.Repeat("\U0001F511", 296)+secret), "\U0001F511*** ("},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, serve(t, test.answer).uri, Options{Key: NewKey(secret)})
			err := scoreError[Error](t, client)
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("the text is %q, want it to contain %q", err, test.text)
			}
			for cause := error(err); cause != nil; cause = errors.Unwrap(cause) {
				checkHidden(t, fmt.Sprintf("%T", cause), cause.Error())
			}
			var service *ServiceError
			if errors.As(err, &service) {
				shown := *service
				shown.Body = nil // the only field that is as it came
				checkHidden(t, "a field", fmt.Sprintf("%+v", struct{ ServiceError any }{[]any{shown.Message, shown.RequestID, shown.ModelReason}}))
			}
			var reply *ReplyError
			if errors.As(err, &reply) {
				checkHidden(t, "a field", []string{reply.Reason, reply.Excerpt})
			}
		})
	}
}

// Proves B21.
// Every credential of a call is hidden, as JSON may spell it, and none spoils another that begins alike.
func TestMask(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"text":                            "text",
		"a/b+c and a/b+c/d":               "*** and ***",
		`a\/b\u002Bc\/d, a\u002fb\u002bc`: "***, ***",
		`{"a": "\u00e9", "b": "\n\"a/b"}`: `{"a": "\u00e9", "b": "\n\"a/b"}`,
		`\\u0061/b+c`:                     `\\u0061/b+c`,
		"cut a/b+":                        "cut ***",
		"q\"\\r, q\\\"\\\\r":              "***, ***",
	} {
		call := exchange{credentials: []string{"a/b+c/d", "a/b+c", `q"\r`}}
		if got := call.mask(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if got := new(exchange).mask("text"); got != "text" {
		t.Errorf("%q", got)
	}
}
