package markdown

import "testing"

func TestSlug(t *testing.T) {
	for heading, want := range map[string]string{
		"What to watch":                 "what-to-watch",
		"spec.coldStart.rules[]":        "speccoldstartrules",
		"`kubectl get` says “no”, why?": "kubectl-get-says-no-why",
		"503, 504 & more":               "503-504--more",
		"[Linked](page.md) words":       "linked-words",
		"snake_case":                    "snake_case",
	} {
		if got := Slug(heading); got != want {
			t.Errorf("Slug(%q) = %q, want %q", heading, got, want)
		}
	}
}
