package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// genkitOpenAI is Genkit with a model that speaks OpenAI's API, which asks with OpenAI's
// SDK as it was before version 3.
var genkitOpenAI = []client{{
	name: "genkit", api: chat, stream: genkitChat, explain: genkitFailure, variants: []string{plain, tools},
	hides: hides{id: true, reasoning: true, tokens: true, finish: true},
}}

// genkitChat runs the program in genkit, whose requests go through via.
func genkitChat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	target, err := url.Parse(base)
	if err != nil {
		return said{}, err
	}
	proxy := httptest.NewServer(readFirst(&httputil.ReverseProxy{
		Transport: via.Transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}))
	defer proxy.Close()
	var failed bytes.Buffer
	cmd := exec.CommandContext(ctx, standalone.genkit, proxy.URL+"/v1", question)
	cmd.Stderr = &failed
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return said{}, ctx.Err()
	case err != nil:
		return said{}, errors.New(failed.String())
	}
	var answer struct {
		Text  string
		Calls []struct{ Name, Args string }
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return said{}, err
	}
	got := said{texts: []string{answer.Text}}
	for _, c := range answer.Calls {
		got.calls = append(got.calls, call{c.Name, c.Args})
	}
	return got, nil
}

// genkitStatus is in the text of an error.
var genkitStatus = regexp.MustCompile(`": (\d{3}) `)

func genkitFailure(err error) failure {
	f := errorObject(err.Error())
	if m := genkitStatus.FindStringSubmatch(err.Error()); m != nil {
		f.status, _ = strconv.Atoi(m[1])
	}
	f.message = strings.TrimSpace(f.message)
	return f
}
