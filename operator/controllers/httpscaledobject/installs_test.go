package httpscaledobject

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/claims"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// installs are operators of two installs that see one namespace.
type installs struct {
	t        *testing.T
	api      client.Client
	writes   int // of any object, by both
	recorder *events.FakeRecorder
	name     client.ObjectKey
	now      time.Time
}

func newInstalls(t *testing.T, object *v1alpha1.HTTPScaledObject, more ...client.Object) *installs {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	raw := &unstructured.Unstructured{Object: content}
	raw.SetGroupVersionKind(route.HTTPScaledObjectKind())
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []schema.GroupVersionKind{route.HTTPScaledObjectKind(), route.InterceptorRouteKind(), keda.ScaledObjectKind()} {
		scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(kind.GroupVersion().WithKind(kind.Kind+"List"), &unstructured.UnstructuredList{})
	}
	i := &installs{t: t, recorder: events.NewFakeRecorder(100), name: client.ObjectKeyFromObject(object), now: time.Now()}
	i.api = fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().WithStatusSubresource(raw).
		WithObjects(append(more, raw)...).
		WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				i.writes++
				return c.Patch(ctx, o, p, opts...)
			},
			Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
				i.writes++
				return c.Apply(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				i.writes++
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	return i
}

// install returns the reconciler of an install in a namespace.
func (i *installs) install(namespace string) *Reconciler { return i.withScaler("scaler." + namespace) }

// withScaler returns the reconciler of the install with a scaler.
func (i *installs) withScaler(host string) *Reconciler {
	there := availability.New(keda.ScaledObjectKind(), i.api, "", "", testr.New(i.t))
	there.Probe(i.t.Context())
	services := availability.New(corev1.SchemeGroupVersion.WithKind("Service"), i.api, "", "", testr.New(i.t))
	services.Probe(i.t.Context())
	return &Reconciler{
		Client: i.api, Status: &conditions.Writer{Status: i.api.Status(), Recorder: i.recorder, Now: func() time.Time { return i.now }},
		ScalerAddress: host + ":9090", AllNamespaces: true,
		KEDA: there, Services: services, claims: claims.New(route.Limits{}),
	}
}

// reconcile reconciles the object and returns how much was written for it.
func (i *installs) reconcile(r *Reconciler) (writes int, result reconcile.Result) {
	i.t.Helper()
	before := i.writes
	result, err := r.Reconcile(i.t.Context(), reconcile.Request{NamespacedName: i.name})
	if err != nil {
		i.t.Fatal(err)
	}
	return i.writes - before, result
}

func (i *installs) get(kind schema.GroupVersionKind) *unstructured.Unstructured {
	i.t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	if err := i.api.Get(i.t.Context(), i.name, object); err != nil {
		i.t.Fatal(err)
	}
	return object
}

// managers are the names under which the ScaledObject was applied.
func (i *installs) managers() (names []string) {
	for _, entry := range i.get(keda.ScaledObjectKind()).GetManagedFields() {
		names = append(names, entry.Manager)
	}
	return names
}

func shop() *v1alpha1.HTTPScaledObject {
	object := objects.HTTPScaledObject("apps", "shop", "shop.test")
	object.UID, object.Generation = "1", 1
	return object
}

func scaler(namespace string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "scaler"}}
}

// Two installs that see a namespace do not fight over scalerAddress. The first one has the
// ScaledObject; the other one reports that and leaves it alone.
func TestTwoInstallsDoNotFight(t *testing.T) {
	i := newInstalls(t, shop(), scaler("one"), scaler("two"))
	one, two := i.install("one"), i.install("two")
	i.reconcile(one)
	i.reconcile(two)
	total := i.writes
	for range 10 {
		i.reconcile(one)
		if _, result := i.reconcile(two); result.RequeueAfter != refusedAgain {
			t.Fatalf("the other one comes back after %v", result.RequeueAfter)
		}
	}
	// Each reconciliation of the owner applies, which changes nothing.
	if i.writes-total > 10 {
		t.Errorf("%d writes in 10 rounds", i.writes-total)
	}
	if address := keda.ScalerAddress(i.get(keda.ScaledObjectKind())); address != "scaler.one:9090" {
		t.Errorf("the scaler is %s", address)
	}
	object := i.get(route.HTTPScaledObjectKind())
	contested, ready := conditions.Find(object, api.ConditionContested), conditions.Find(object, api.ConditionReady)
	if contested == nil || contested.Status != metav1.ConditionTrue || contested.Reason != ReasonContested ||
		!strings.Contains(contested.Message, "scaler.one:9090") || !strings.Contains(contested.Message, "scaler.two:9090") {
		t.Errorf("the condition is %+v", contested)
	}
	if ready == nil || ready.Status != metav1.ConditionTrue {
		t.Errorf("Ready is %+v", ready)
	}
	told := 0
	for len(i.recorder.Events) > 0 {
		if event := <-i.recorder.Events; strings.Contains(event, ReasonContested) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d events", told)
	}
}

// The condition of an install that was removed ends, a minute later. Until then its operator may go on
// writing, and the two do not fight.
func TestTheConditionOfAnInstallThatIsGoneEnds(t *testing.T) {
	i := newInstalls(t, shop(), scaler("one"), scaler("two"), objects.Service("apps", "shop", corev1.ServicePort{Port: 80}))
	one, two := i.install("one"), i.install("two")
	i.reconcile(one)
	i.reconcile(two)
	contested := func() *metav1.Condition {
		return conditions.Find(i.get(route.HTTPScaledObjectKind()), api.ConditionContested)
	}
	i.now = i.now.Add(refusedAgain)
	if _, result := i.reconcile(one); result.RequeueAfter != refusedAgain || contested() == nil {
		t.Errorf("while both exist, the owner comes back after %v; the condition is %+v", result.RequeueAfter, contested())
	}
	if err := i.api.Delete(t.Context(), scaler("two")); err != nil {
		t.Fatal(err)
	}
	total := i.writes
	for range 10 {
		i.reconcile(one)
		i.reconcile(two)
	}
	// Each reconciliation of the owner applies, and the status changes twice.
	if i.writes-total > 12 {
		t.Errorf("%d writes in 10 rounds while the other operator still runs", i.writes-total)
	}
	i.now = i.now.Add(refusedAgain)
	if _, result := i.reconcile(one); result.RequeueAfter != 0 || contested() != nil {
		t.Errorf("the owner comes back after %v; the conditions are %+v", result.RequeueAfter, i.get(route.HTTPScaledObjectKind()).Object["status"])
	}
}

func TestTwoInstallsOfOneNamespaceDoNotFight(t *testing.T) {
	i := newInstalls(t, shop(), scaler("one"))
	one, other := i.withScaler("scaler.one"), i.withScaler("another-scaler.one")
	i.reconcile(one)
	for range 3 {
		i.reconcile(other)
		if address := keda.ScalerAddress(i.get(keda.ScaledObjectKind())); address != "scaler.one:9090" {
			t.Fatalf("the scaler is %s", address)
		}
	}
}

func TestFieldOwnersAreAsLongAsTheAPIServerAccepts(t *testing.T) {
	long := strings.Repeat("a", 63)
	for address, want := range map[string]string{
		"scaler.keda:9090": FieldOwner + ":scaler.keda", long + "." + long + ":9090": (FieldOwner + ":" + long + "." + long)[:128],
	} {
		if got := (&Reconciler{ScalerAddress: address}).owner(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// What an install that is gone has left is taken over, fields and all.
func TestAnInstallThatIsGoneIsReplaced(t *testing.T) {
	i := newInstalls(t, shop(), scaler("one"), scaler("two"))
	one, two := i.install("one"), i.install("two")
	i.reconcile(one)
	i.reconcile(two)
	if err := i.api.Delete(t.Context(), scaler("one")); err != nil {
		t.Fatal(err)
	}
	i.reconcile(two)
	if address := keda.ScalerAddress(i.get(keda.ScaledObjectKind())); address != "scaler.two:9090" {
		t.Errorf("the scaler is %s", address)
	}
	if names := i.managers(); len(names) != 1 || names[0] != FieldOwner+":scaler.two" {
		t.Errorf("the fields belong to %q", names)
	}
	if contested := conditions.Find(i.get(route.HTTPScaledObjectKind()), api.ConditionContested); contested != nil {
		t.Errorf("the condition stays: %+v", contested)
	}
	// A person may decide it too.
	i.api.Create(t.Context(), scaler("one")) //nolint:errcheck // the next line would fail
	patch := client.RawPatch("application/json-patch+json", []byte(`[{"op": "replace", "path": "/spec/triggers/0/metadata/scalerAddress", "value": "scaler.one:9090"}]`))
	if err := i.api.Patch(t.Context(), i.get(keda.ScaledObjectKind()), patch, client.FieldOwner("kubectl")); err != nil {
		t.Fatal(err)
	}
	i.reconcile(one)
	if address := keda.ScalerAddress(i.get(keda.ScaledObjectKind())); address != "scaler.one:9090" {
		t.Errorf("the scaler is %s", address)
	}
}

// An install that sees one namespace cannot know whether another one is gone. One in its own
// namespace, such as itself under another name, is an exception.
func TestAnInstallOfOneNamespaceTakesOverWhatItKnows(t *testing.T) {
	for _, test := range []struct {
		reason    string
		namespace string // of the operator
		gone      bool   // the other scaler is
		forbidden bool   // to read Services
		want      string
	}{
		{"another namespace", "two", true, false, "scaler.one:9090"},
		{"a renamed Service", "one", true, false, "renamed.one:9090"},
		{"another install of the namespace", "one", false, false, "scaler.one:9090"},
		{"a role that does not allow it", "one", true, true, "scaler.one:9090"},
	} {
		i := newInstalls(t, shop(), scaler("one"))
		one, other := i.install("one"), i.withScaler("renamed.one")
		other.AllNamespaces, other.Namespace, other.Live = false, test.namespace, i.api
		if test.forbidden {
			other.Live = forbidden{}
		}
		i.reconcile(one)
		if test.gone {
			if err := i.api.Delete(t.Context(), scaler("one")); err != nil {
				t.Fatal(err)
			}
		}
		i.reconcile(other)
		if address := keda.ScalerAddress(i.get(keda.ScaledObjectKind())); address != test.want {
			t.Errorf("%s: the scaler is %s, want %s", test.reason, address, test.want)
		}
	}
}

// forbidden is an API server that allows nothing.
type forbidden struct{ client.Reader }

func (forbidden) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return apierrors.NewForbidden(schema.GroupResource{}, "", nil)
}

// Another scaleTargetRef.name leaves the workload that it named before running: the condition
// names it until the object changes again.
func TestTheWorkloadThatWasNamedBefore(t *testing.T) {
	i := newInstalls(t, shop())
	r := i.install("one")
	set := func(generation int64, spec map[string]any) *metav1.Condition {
		t.Helper()
		if spec != nil {
			object := i.get(route.HTTPScaledObjectKind())
			patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"generation": generation}, "spec": spec})
			if err != nil {
				t.Fatal(err)
			}
			if err := i.api.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
				t.Fatal(err)
			}
		}
		i.reconcile(r)
		return conditions.Find(i.get(route.HTTPScaledObjectKind()), api.ConditionWorkloadChanged)
	}
	if c := set(1, nil); c != nil {
		t.Errorf("at first: %+v", c)
	}
	for range 2 { // the second time nothing has changed
		c := set(2, map[string]any{"scaleTargetRef": map[string]any{"name": "next"}})
		if c == nil || c.Reason != ReasonWorkload || !strings.Contains(c.Message, "apps/v1/Deployment/shop was scaled before apps/v1/Deployment/next") {
			t.Errorf("after a change: %+v", c)
		}
	}
	if c := set(3, map[string]any{"hosts": []any{"other.test"}}); c != nil {
		t.Errorf("after another change: %+v", c)
	}
}
