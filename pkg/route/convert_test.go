package route

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files of the conversion")

// TestConvert converts each testdata/convert/*.in.yaml and compares with *.out.yaml. The first
// line of an input is a comment that gives the reason. Run with -update to write the outputs;
// then read the difference.
func TestConvert(t *testing.T) {
	inputs, err := filepath.Glob("testdata/convert/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, input := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(input), ".in.yaml"), func(t *testing.T) {
			in, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			reason, _, _ := strings.Cut(string(in), "\n")
			o := new(v1alpha1.HTTPScaledObject)
			if err := yaml.UnmarshalStrict(in, o); err != nil {
				t.Fatal(err)
			}
			before := o.DeepCopy()
			got, err := yaml.Marshal(Convert(o))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, o); diff != "" {
				t.Errorf("the conversion changed its input:\n%s", diff)
			}
			golden := strings.TrimSuffix(input, ".in.yaml") + ".out.yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", reason, diff)
			}
		})
	}
}

// TestConvertSharesNothing changes all that could be shared with the input.
func TestConvertSharesNothing(t *testing.T) {
	in, err := os.ReadFile("testdata/convert/everything.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := new(v1alpha1.HTTPScaledObject)
	if err := yaml.UnmarshalStrict(in, o); err != nil {
		t.Fatal(err)
	}
	before := o.DeepCopy()
	out := Convert(o)
	clear(out.Labels)
	clear(out.Annotations)
	rule := &out.Spec.Rules[0]
	rule.Hosts[0] = "changed"
	rule.Paths[0].Value = "changed"
	for i := range rule.Headers {
		if rule.Headers[i].Value != nil {
			*rule.Headers[i].Value = "changed"
		}
	}
	if diff := cmp.Diff(before, o); diff != "" {
		t.Errorf("input and output share memory:\n%s", diff)
	}
}
