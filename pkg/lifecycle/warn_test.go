package lifecycle

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func TestWarningsHaveALevel(t *testing.T) {
	var text bytes.Buffer
	Warn(zap.New(zap.WriteTo(&text)), []string{"a", "b"})
	if got := text.String(); strings.Count(got, `"level":"warn"`) != 2 || !strings.Contains(got, `"msg":"configuration","reason":"a"`) {
		t.Errorf("got %s", got)
	}
	var other []string
	Warn(funcr.New(func(_, args string) { other = append(other, args) }, funcr.Options{}), []string{"a"})
	if len(other) != 1 || !strings.Contains(other[0], `"reason"="a"`) {
		t.Errorf("got %q", other)
	}
}
