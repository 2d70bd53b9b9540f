package stream

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkForeignAnswer ends a stream with nearly 16 MiB of JSON that is not an answer of any API.
// A backend must not get seconds of a processor for it.
func BenchmarkForeignAnswer(b *testing.B) {
	for _, member := range []string{`"\u0061":0`, `"a":0`, `"data":[]`, `"message":{}`} {
		members := "{" + strings.Repeat(member+",", (15<<20)/len(member+",")) + `"z":0}`
		for _, body := range []string{members, `{"data":` + members + `}`, `{"error":` + members + `}`, `[` + members + `]`} {
			b.Run(body[:20], func(b *testing.B) {
				callback, err := Compile(Options{Message: "m", Separator: new(string)})
				if err != nil {
					b.Fatal(err)
				}
				q := asking(&openAIChat, nil, chatBody)
				for b.Loop() {
					s, err := callback.Open(httptest.NewRecorder(), q, unknown)
					if err != nil {
						b.Fatal(err)
					}
					p := s.Splice(httptest.NewRequest(http.MethodPost, "/", nil), plenty{})
					answer(http.StatusOK, "application/json", body)(p)
					if err := p.Close(nil, http.StatusBadGateway, "the backend did not answer"); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
