package accept

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRanges(t *testing.T) {
	type weighted struct {
		Range  string
		Weight float64
	}
	for name, tc := range map[string]struct {
		accept []string
		want   []weighted
	}{
		"none":                   {nil, nil},
		"empty elements":         {[]string{" , ,"}, nil},
		"a list":                 {[]string{"text/html, */*;q=0.8"}, []weighted{{"text/html", 1}, {"*/*", 0.8}}},
		"several fields":         {[]string{"text/html", "application/json;q=0"}, []weighted{{"text/html", 1}, {"application/json", 0}}},
		"case and white space":   {[]string{" Text/HTML ;\tLevel=1 ; Q = 0.25 "}, []weighted{{"text/html", 0.25}}},
		"parameters behind q":    {[]string{"text/html;q=0.5;v=b3"}, []weighted{{"text/html", 0.5}}},
		"a comma in quotes":      {[]string{`text/html;a="x, text/plain;q=0";q=0.5, text/css`}, []weighted{{"text/html", 0.5}, {"text/css", 1}}},
		"a quote in quotes":      {[]string{`text/html;a="\",";q=0`}, []weighted{{"text/html", 0}}},
		"quotes that do not end": {[]string{`text/html;a="x, text/css`}, []weighted{{"text/html", 1}}},
		"JDK":                    {[]string{"text/html, *; q=.2, */*; q=.2"}, []weighted{{"text/html", 1}, {"*", 0.2}, {"*/*", 0.2}}},
		"three decimals":         {[]string{"text/html;q=0.000"}, []weighted{{"text/html", 0}}},
		"out of range":           {[]string{"a/b;q=7, c/d;q=-1"}, []weighted{{"a/b", 1}, {"c/d", 0}}},
		"no number":              {[]string{"a/b;q=, c/d;q=NaN, e/f;q=high"}, []weighted{{"a/b", 1}, {"c/d", 1}, {"e/f", 1}}},
		"another parameter":      {[]string{"a/b;qs=0"}, []weighted{{"a/b", 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []weighted
			for name, weight := range Ranges(http.Header{"Accept": tc.accept}) {
				got = append(got, weighted{name, weight})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Ranges (-want +got):\n%s", diff)
			}
		})
	}
}
